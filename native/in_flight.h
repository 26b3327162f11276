// How many programs of another engine are launched and not known to have finished, of which there is a most (InFlight).
#pragma once

#include "common.h"

namespace addax {

extern PyTypeObject* InFlightType;

// A program that counts, from in_flight_enter to in_flight_launched or in_flight_failed.
struct Launching {
  bool in_order;      // it finishes after all programs in order that were launched before
  bool token;         // the launch has to leave something to wait for, `token.block_until_ready()`
  Py_ssize_t covers;  // programs without tokens that have finished when it has
};

// Counts one more program, having waited until there is room for it; -1 with an exception set, and it does not count.
int in_flight_enter(PyObject* in_flight, Launching* program);
// It was launched, with its token if it was asked for one.
void in_flight_launched(PyObject* in_flight, const Launching& program, PyObject* token);
// It was not launched after all.
void in_flight_failed(PyObject* in_flight, const Launching& program);

int init_in_flight(PyObject* module);

}  // namespace addax
