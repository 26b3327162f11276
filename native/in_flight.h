// How many programs of another engine are launched and not known to have finished, of which there is a most (InFlight).
#pragma once

#include "common.h"

namespace addax {

extern PyTypeObject* InFlightType;

// Counts one more program, having waited until there is room for it; -1 with an exception set, and it does not count.
int in_flight_enter(PyObject* in_flight);
// That program was launched: what to wait for, `token.block_until_ready()`.
void in_flight_launched(PyObject* in_flight, PyObject* token);
// A program that counted has finished, or was not launched after all.
void in_flight_leave(PyObject* in_flight);

int init_in_flight(PyObject* module);

}  // namespace addax
