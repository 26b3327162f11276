// Staging: memory of the host in which the devices of a program of another engine read arguments that are no Arrays. A call
// writes them there, once the call that wrote there before has finished: to send an array takes longer than a small program.
#pragma once

#include <deque>
#include <vector>

#include "array.h"

namespace addax {

class Staging {
 public:
  // stage(aval, sharding): (an Array of the host, the engine's buffer over the same memory), or None if there is no such thing.
  Staging(PyObject* stage, PyObject* in_shardings, PyObject* out_avals);
  // The program takes the memory of this argument for itself.
  void exclude(size_t k) { can_[k] = 0; }

 private:
  friend class StagedCall;
  struct Place {
    Ref array, buffer;
  };
  // What one call writes to.
  struct Set {
    std::vector<Place> places;  // by argument; null where there is nothing yet
    int64_t bytes = 0;
    Ref result;                 // a buffer of the last call that wrote here: once it is ready, the call has finished
  };

  Ref stage_, in_shardings_;
  std::vector<uint8_t> can_;    // by argument
  Py_ssize_t watched_ = -1;     // number of the result that says when a call has finished; -1: nothing is staged
  std::deque<Set> idle_;        // oldest first
  int sets_ = 0;                // with those of calls under way
};

// The use that one call makes of a Staging, which may be null.
class StagedCall {
 public:
  explicit StagedCall(Staging* staging) : staging_(staging) {}
  ~StagedCall() { drop(); }
  StagedCall(const StagedCall&) = delete;
  // The engine's buffer with the value of an argument; borrowed. Null without an error if it must be sent.
  PyObject* write(size_t k, PyObject* value, Desc* desc);
  // The program was launched, with these results.
  void launched(PyObject* const* results);

 private:
  bool take();
  void drop();

  Staging* staging_;
  Staging::Set set_;
  bool taken_ = false;
};

int init_staging();

}  // namespace addax
