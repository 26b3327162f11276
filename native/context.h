// What surrounds a call: the trace that interprets operations, and the configuration. Both per thread, with a process-wide
// value for threads that have set none.
#pragma once

#include "common.h"

namespace addax {

struct ThreadContext {
  PyObject* trace;    // strong, or null: the base trace
  PyObject* context;  // strong, or null: the base context
};
extern ADDAX_TLS ThreadContext t_context;
extern PyObject* g_base_trace;
extern PyObject* g_base_context;

// Borrowed; null until core has set a base.
inline PyObject* current_trace() { return t_context.trace ? t_context.trace : g_base_trace; }
inline PyObject* current_context() { return t_context.context ? t_context.context : g_base_context; }
inline bool under_base_trace() { return t_context.trace == nullptr; }


}  // namespace addax
