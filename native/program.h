// Program: one compiled computation, a list of steps over planned memory, run without entering Python between steps.
//
// Python builds it once (see program_parse.cpp for the accepted form) and it never changes afterwards; any number of
// threads may run it at the same time, each over its own arena. The step list itself is described in program_steps.h,
// its execution in program_run.cpp, calls back into Python in program_host.cpp.
#pragma once

#include "array.h"
#include "common.h"

namespace addax {

PyTypeObject* program_type();

size_t program_num_inputs(PyObject* program);
size_t program_num_outputs(PyObject* program);

// Runs `program` on n_in arrays whose avals are the program's in_avals (the caller has checked) and stores one new
// reference per output in out[]. 0, or -1 with a Python error set and nothing stored. Needs the GIL; releases it while
// a large program runs.
//
// donate: null, or one flag per input. Memory of a flagged input that nobody else refers to may be overwritten and
// become an output; marking the input as deleted is the caller's business.
int program_run(PyObject* program, ArrayObject** in, size_t n_in, PyObject** out, const uint8_t* donate);

}  // namespace addax
