// Staging: sets of host memory, each used by one call at a time.
#include "staging.h"

namespace addax {

namespace {

constexpr int kSets = 4;                  // calls under way at once that have their arguments staged
constexpr int64_t kArguments = 1 << 20;   // bytes in a set
constexpr int64_t kResult = 256 << 10;    // bytes of a result that a set may keep alive

PyObject* is_ready;  // a name

}  // namespace

Staging::Staging(PyObject* stage, PyObject* in_shardings, PyObject* out_avals)
    : stage_(Ref::borrow(stage)),
      in_shardings_(Ref::borrow(in_shardings)),
      can_(static_cast<size_t>(PyTuple_GET_SIZE(in_shardings)), 1) {
  int64_t least = kResult + 1;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(out_avals); i++) {
    int64_t bytes = desc_of(PyTuple_GET_ITEM(out_avals, i))->nbytes;
    if (bytes < least) {
      least = bytes;
      watched_ = i;
    }
  }
}

// Finds a set that no program reads any more, or makes one.
bool StagedCall::take() {
  while (!staging_->idle_.empty()) {
    set_ = std::move(staging_->idle_.front());
    staging_->idle_.pop_front();  // before Python runs, which may call this program again
    PyObject* result = set_.result.get();
    Ref ready(PyObject_VectorcallMethod(is_ready, &result, 1, nullptr));
    if (ADDAX_LIKELY(ready.get() == Py_True)) {
      set_.result = Ref();
      return taken_ = true;
    }
    if (ready) {
      staging_->idle_.push_front(std::move(set_));
      break;
    }
    PyErr_Clear();  // it was donated to another program: nothing says when this one has finished
    taken_ = true;
    drop();
  }
  if (staging_->sets_ == kSets) return false;
  staging_->sets_++;
  set_ = Staging::Set();
  set_.places.resize(staging_->can_.size());
  return taken_ = true;
}

void StagedCall::drop() {
  if (!taken_) return;
  taken_ = false;
  staging_->sets_--;
  set_ = Staging::Set();  // the engine keeps the memory until the program has finished
}

PyObject* StagedCall::write(size_t k, PyObject* value, Desc* desc) {
  if (staging_ == nullptr || staging_->watched_ < 0 || !staging_->can_[k] || desc->nbytes > kArguments) return nullptr;
  if (!taken_ && !take()) return nullptr;
  Staging::Place& place = set_.places[k];
  if (ADDAX_UNLIKELY(!place.buffer)) {
    if (set_.bytes + desc->nbytes > kArguments) return nullptr;
    Ref pair(PyObject_CallFunctionObjArgs(staging_->stage_.get(), desc->aval,
                                          PyTuple_GET_ITEM(staging_->in_shardings_.get(), static_cast<Py_ssize_t>(k)), nullptr));
    if (!pair) return nullptr;
    if (pair.get() == Py_None) {
      staging_->can_[k] = 0;
      return nullptr;
    }
    if (!PyTuple_CheckExact(pair.get()) || PyTuple_GET_SIZE(pair.get()) != 2 || !array_check_exact(PyTuple_GET_ITEM(pair.get(), 0)))
      return PyErr_Format(PyExc_TypeError, "Launch: stage must return (Array, buffer) or None, got %R", pair.get());
    place.array = Ref::borrow(PyTuple_GET_ITEM(pair.get(), 0));
    place.buffer = Ref::borrow(PyTuple_GET_ITEM(pair.get(), 1));
    set_.bytes += desc->nbytes;
  }
  if (array_write(reinterpret_cast<ArrayObject*>(place.array.get()), value) < 0) return nullptr;
  return place.buffer.get();
}

void StagedCall::launched(PyObject* const* results) {
  if (!taken_) return;
  taken_ = false;
  set_.result = Ref::borrow(reinterpret_cast<ArrayObject*>(results[staging_->watched_])->storage->owner);
  staging_->idle_.push_back(std::move(set_));
}

int init_staging() {
  is_ready = PyUnicode_InternFromString("is_ready");
  return is_ready == nullptr ? -1 : 0;
}

}  // namespace addax
