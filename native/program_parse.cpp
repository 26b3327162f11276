// From the planner's tuples to the executor's steps, with every index checked: a bad plan must fail here, with words,
// and not at run time, with a crash.
#include "program_steps.h"

#include <algorithm>
#include <cstdarg>
#include <cstring>

#include "pool.h"

namespace addax {
namespace {

constexpr double kReleaseGilNs = 20000.0;  // giving up and retaking the GIL costs ~100 ns and a possible 5 ms wait
constexpr double kCopyNsPerByte = 0.1;
constexpr double kHostCallNs = 2000.0;
constexpr double kUnknownTrips = 1000.0;
constexpr double kUnknownKernelNs = 50000.0;
constexpr double kCheckIntervalNs = 1e6;

struct ParseError {};  // a Python error is set

[[noreturn]] void fail(PyObject* type, const char* format, ...) {
  va_list args;
  va_start(args, format);
  PyErr_FormatV(type, format, args);
  va_end(args);
  throw ParseError{};
}

void require(bool ok) {
  if (!ok) throw ParseError{};
}

// A borrowed view of a list or tuple.
class Items {
 public:
  Items(PyObject* sequence, const char* what) {
    if (!PyTuple_Check(sequence) && !PyList_Check(sequence))
      fail(PyExc_TypeError, "Program: %s must be a tuple or list, got %.100s", what, Py_TYPE(sequence)->tp_name);
    fast_ = Ref::borrow(sequence);
  }
  Py_ssize_t size() const { return PySequence_Fast_GET_SIZE(fast_.get()); }
  PyObject* operator[](Py_ssize_t i) const { return PySequence_Fast_GET_ITEM(fast_.get(), i); }

 private:
  Ref fast_;
};

int64_t as_int(PyObject* o, const char* what) {
  int64_t value = PyLong_AsLongLong(o);
  if (value == -1 && PyErr_Occurred()) {
    PyErr_Clear();
    fail(PyExc_TypeError, "Program: %s must be an int, got %R", what, o);
  }
  return value;
}

class Parser {
 public:
  explicit Parser(Program::Body& body) : body_(body) {}

  void avals(PyObject* in_avals, PyObject* out_avals) {
    Items ins(in_avals, "in_avals"), outs(out_avals, "out_avals");
    for (Py_ssize_t i = 0; i < ins.size(); ++i) {
      Desc* desc = desc_of(ins[i]);
      require(desc != nullptr);
      body_.in_avals.push_back(ins[i]);
      body_.in_descs.push_back(desc);
    }
    for (Py_ssize_t j = 0; j < outs.size(); ++j) {
      Output output;
      output.aval = outs[j];
      output.desc = desc_of(outs[j]);
      require(output.desc != nullptr);
      body_.outputs.push_back(output);
    }
  }

  void consts(PyObject* list) {
    Items items(list, "consts");
    for (Py_ssize_t k = 0; k < items.size(); ++k) {
      if (!array_check(items[k]))
        fail(PyExc_TypeError, "Program: const %zd must be an Array, got %.100s", k, Py_TYPE(items[k])->tp_name);
      auto* array = reinterpret_cast<ArrayObject*>(items[k]);
      void* data = array_host_data(array);
      require(data != nullptr || !PyErr_Occurred());
      body_.consts.push_back(Py_NewRef(items[k]));
      storage_incref(array->storage);
      body_.const_storage.push_back(array->storage);
      body_.const_data.push_back(data);
    }
  }

  void slots(PyObject* list) {
    Items items(list, "slots");
    for (Py_ssize_t s = 0; s < items.size(); ++s) {
      const char* kind;
      long long where, nbytes;
      require(PyTuple_Check(items[s]) && PyArg_ParseTuple(items[s], "sLL;slot: (kind, index or offset, nbytes)", &kind, &where, &nbytes));
      Slot slot{SlotKind::kArena, static_cast<uint32_t>(where), where, nbytes};
      size_t limit = 0;
      int64_t available = nbytes;
      auto id = static_cast<uint32_t>(s);
      if (nbytes < 0 || where < 0) fail(PyExc_ValueError, "Program: slot %zd: negative offset or size in %R", s, items[s]);
      if (std::strcmp(kind, "in") == 0) {
        slot.kind = SlotKind::kIn;
        limit = body_.in_descs.size();
        if (static_cast<size_t>(where) < limit) available = body_.in_descs[where]->nbytes;
        body_.in_slots.push_back({id, slot.index});
      } else if (std::strcmp(kind, "const") == 0) {
        slot.kind = SlotKind::kConst;
        limit = body_.consts.size();
        if (static_cast<size_t>(where) < limit) available = reinterpret_cast<ArrayObject*>(body_.consts[where])->desc->nbytes;
        body_.const_slots.push_back({id, slot.index});
      } else if (std::strcmp(kind, "out") == 0) {
        slot.kind = SlotKind::kOut;
        limit = body_.outputs.size();
        if (static_cast<size_t>(where) < limit) available = body_.outputs[where].desc->nbytes;
        body_.out_slots.push_back({id, slot.index});
      } else if (std::strcmp(kind, "arena") == 0) {
        if (where + nbytes > body_.arena_bytes)
          fail(PyExc_ValueError, "Program: slot %zd: bytes %lld..%lld lie outside the arena of %lld bytes", s, where,
               where + nbytes, static_cast<long long>(body_.arena_bytes));
        body_.arena_slots.push_back({id, 0});
      } else {
        fail(PyExc_ValueError, "Program: slot %zd: kind must be 'in', 'const', 'arena' or 'out', got '%s'", s, kind);
      }
      if (slot.kind != SlotKind::kArena && static_cast<size_t>(where) >= limit)
        fail(PyExc_IndexError, "Program: slot %zd: there is no '%s' %lld (only %zu)", s, kind, where, limit);
      if (nbytes > available)
        fail(PyExc_ValueError, "Program: slot %zd: %lld bytes asked of '%s' %lld, which has %lld", s, nbytes, kind, where,
             static_cast<long long>(available));
      body_.slots.push_back(slot);
    }
  }

  void outputs(PyObject* list, PyObject* may_donate) {
    Items items(list, "outputs");
    if (static_cast<size_t>(items.size()) != body_.outputs.size())
      fail(PyExc_ValueError, "Program: %zu out_avals but %zd outputs", body_.outputs.size(), items.size());
    for (Py_ssize_t j = 0; j < items.size(); ++j) {
      const char* kind;
      long long index;
      require(PyTuple_Check(items[j]) && PyArg_ParseTuple(items[j], "sL;output: ('slot' | 'in' | 'const', index)", &kind, &index));
      Output& output = body_.outputs[j];
      if (std::strcmp(kind, "slot") == 0) {
        const Slot& slot = body_.slots[checked_slot(index, 0)];
        switch (slot.kind) {
          case SlotKind::kArena: output.kind = OutputKind::kCopy, output.index = static_cast<uint32_t>(index); break;
          case SlotKind::kIn: output.kind = OutputKind::kInput, output.index = slot.index; break;
          case SlotKind::kConst: output.kind = OutputKind::kConst, output.index = slot.index; break;
          case SlotKind::kOut:
            output.kind = slot.index == j ? OutputKind::kFresh : OutputKind::kSame;
            output.index = slot.index;
        }
        check_bytes(j, output, slot.nbytes);
      } else if (std::strcmp(kind, "in") == 0) {
        if (index < 0 || static_cast<size_t>(index) >= body_.in_descs.size())
          fail(PyExc_IndexError, "Program: output %zd: there is no input %lld", j, index);
        output.kind = OutputKind::kInput, output.index = static_cast<uint32_t>(index);
        check_bytes(j, output, body_.in_descs[index]->nbytes);
      } else if (std::strcmp(kind, "const") == 0) {
        if (index < 0 || static_cast<size_t>(index) >= body_.consts.size())
          fail(PyExc_IndexError, "Program: output %zd: there is no const %lld", j, index);
        output.kind = OutputKind::kConst, output.index = static_cast<uint32_t>(index);
        check_bytes(j, output, reinterpret_cast<ArrayObject*>(body_.consts[index])->desc->nbytes);
      } else {
        fail(PyExc_ValueError, "Program: output %zd: kind must be 'slot', 'in' or 'const', got '%s'", j, kind);
      }
    }
    for (const Output& output : body_.outputs)
      if (output.kind == OutputKind::kSame && body_.outputs[output.index].kind != OutputKind::kFresh)
        fail(PyExc_ValueError, "Program: an output shares the slot of output %u, which has no slot of its own", output.index);
    for (const SlotPointer& s : body_.out_slots)
      if (body_.outputs[s.index].kind != OutputKind::kFresh)
        fail(PyExc_ValueError, "Program: slot %u is the memory of output %u, which is declared to come from elsewhere", s.slot,
             s.index);
    Items pairs(may_donate, "may_donate");
    for (Py_ssize_t k = 0; k < pairs.size(); ++k) {
      unsigned int in, out;
      require(PyTuple_Check(pairs[k]) && PyArg_ParseTuple(pairs[k], "II;may_donate: (input, output)", &in, &out));
      if (in >= body_.in_descs.size() || out >= body_.outputs.size() || body_.outputs[out].kind != OutputKind::kFresh ||
          body_.in_descs[in]->nbytes != body_.outputs[out].desc->nbytes)
        fail(PyExc_ValueError, "Program: may_donate %R: the output must have its own slot and the input's size", pairs[k]);
      body_.outputs[out].donor = in;
      body_.may_donate = true;
    }
  }

  void block(Block& block, PyObject* list, const std::string& path) {
    Items items(list, "steps");
    block.steps.reserve(items.size());
    for (Py_ssize_t i = 0; i < items.size(); ++i) {
      if (!PyTuple_Check(items[i]) || PyTuple_GET_SIZE(items[i]) == 0 || !PyUnicode_Check(PyTuple_GET_ITEM(items[i], 0)))
        fail(PyExc_TypeError, "Program: step %s%zd must be a tuple that starts with its kind, got %R", path.c_str(), i, items[i]);
      step(block, items[i], std::string(path).append(std::to_string(i)));
    }
  }

 private:
  uint32_t checked_slot(int64_t index, int64_t nbytes) {
    if (index < 0 || static_cast<size_t>(index) >= body_.slots.size())
      fail(PyExc_IndexError, "Program: %s: slot %lld does not exist (there are %zu)", where_.c_str(),
           static_cast<long long>(index), body_.slots.size());
    if (body_.slots[index].nbytes < nbytes)
      fail(PyExc_ValueError, "Program: %s: slot %lld has %lld bytes, %lld are used", where_.c_str(),
           static_cast<long long>(index), static_cast<long long>(body_.slots[index].nbytes), static_cast<long long>(nbytes));
    return static_cast<uint32_t>(index);
  }

  uint32_t writable_slot(int64_t index, int64_t nbytes) {
    uint32_t s = checked_slot(index, nbytes);
    SlotKind kind = body_.slots[s].kind;
    if (kind == SlotKind::kIn || kind == SlotKind::kConst)
      fail(PyExc_ValueError, "Program: %s: slot %u is an input or constant and cannot be written", where_.c_str(), s);
    return s;
  }

  void check_bytes(Py_ssize_t j, const Output& output, int64_t nbytes) {
    if (nbytes != output.desc->nbytes)
      fail(PyExc_ValueError, "Program: output %zd has %lld bytes but its source has %lld", j,
           static_cast<long long>(output.desc->nbytes), static_cast<long long>(nbytes));
  }

  std::vector<uint32_t> slot_list(PyObject* list, const char* what) {
    Items items(list, what);
    std::vector<uint32_t> slots;
    for (Py_ssize_t i = 0; i < items.size(); ++i) slots.push_back(checked_slot(as_int(items[i], what), 0));
    return slots;
  }

  Block* new_blocks(size_t n) { return body_.blocks.emplace_back(n).data(); }

  void step(Block& block, PyObject* tuple, const std::string& path) {
    where_ = std::string("step ").append(path);
    const char* kind = PyUnicode_AsUTF8(PyTuple_GET_ITEM(tuple, 0));
    require(kind != nullptr);
    Step step{};
    step.id = static_cast<uint32_t>(body_.paths.size());
    body_.paths.push_back(std::string(path).append(":").append(kind));
    double ns = 0;
    if (std::strcmp(kind, "kernel") == 0) {
      ns = kernel(step, tuple);
    } else if (std::strcmp(kind, "copy") == 0) {
      long long dst, src, nbytes;
      require(PyArg_ParseTuple(tuple, "sLLL;('copy', dst_slot, src_slot, nbytes)", &kind, &dst, &src, &nbytes));
      step.op = Op::kCopy;
      step.a = writable_slot(dst, nbytes), step.b = checked_slot(src, nbytes), step.extent = nbytes;
      ns = nbytes * kCopyNsPerByte;
    } else if (std::strcmp(kind, "fill") == 0) {
      long long slot, nbytes;
      require(PyArg_ParseTuple(tuple, "sLL;('fill', slot, nbytes)", &kind, &slot, &nbytes));
      step.op = Op::kFill;
      step.a = writable_slot(slot, nbytes), step.extent = nbytes;
      ns = nbytes * kCopyNsPerByte;
    } else if (std::strcmp(kind, "host") == 0) {
      ns = host(step, tuple);
    } else if (std::strcmp(kind, "while") == 0) {
      PyObject *cond, *body;
      long long pred;
      require(PyArg_ParseTuple(tuple, "sOLO;('while', cond_steps, pred_slot, body_steps)", &kind, &cond, &pred, &body));
      step.op = Op::kWhile;
      body_.has_loop = true;
      step.a = checked_slot(pred, 1), step.blocks = new_blocks(2), step.n_blocks = 2;
      this->block(step.blocks[0], cond, std::string(path).append(".cond."));
      this->block(step.blocks[1], body, std::string(path).append(".body."));
      double turn = step.blocks[0].estimated_ns + step.blocks[1].estimated_ns;
      step.check_every = check_every(turn);
      ns = turn * kUnknownTrips;
    } else if (std::strcmp(kind, "cond") == 0) {
      PyObject* branches;
      long long index;
      require(PyArg_ParseTuple(tuple, "sLO;('cond', index_slot, branches)", &kind, &index, &branches));
      Items items(branches, "cond branches");
      if (items.size() == 0) fail(PyExc_ValueError, "Program: %s: cond needs at least one branch", where_.c_str());
      step.op = Op::kCond;
      step.a = checked_slot(index, 4);
      step.blocks = new_blocks(items.size()), step.n_blocks = static_cast<uint32_t>(items.size());
      for (Py_ssize_t i = 0; i < items.size(); ++i) {
        this->block(step.blocks[i], items[i], std::string(path).append(".branch").append(std::to_string(i)).append("."));
        ns = std::max(ns, step.blocks[i].estimated_ns);
      }
    } else if (std::strcmp(kind, "loop") == 0) {
      ns = loop(step, tuple, path);
    } else if (std::strcmp(kind, "swap") == 0) {
      long long a, b;
      require(PyArg_ParseTuple(tuple, "sLL;('swap', slot_a, slot_b)", &kind, &a, &b));
      step.op = Op::kSwap;
      step.a = checked_slot(a, 0), step.b = checked_slot(b, 0);
      if (body_.slots[step.a].kind != SlotKind::kArena || body_.slots[step.b].kind != SlotKind::kArena)
        fail(PyExc_ValueError, "Program: %s: only arena slots can be swapped", where_.c_str());
      if (body_.slots[step.a].nbytes != body_.slots[step.b].nbytes)
        fail(PyExc_ValueError, "Program: %s: swapped slots differ in size", where_.c_str());
      body_.has_swap = true;
    } else {
      fail(PyExc_ValueError,
           "Program: %s: unknown kind '%s'; expected kernel, copy, fill, host, while, cond, loop or swap", where_.c_str(), kind);
    }
    block.estimated_ns += ns + 3;
    block.steps.push_back(step);
  }

  double kernel(Step& step, PyObject* tuple) {
    const char* kind;
    unsigned long long address;
    PyObject *args, *table;
    long long extent, cut = 1;
    double ns;
    require(PyArg_ParseTuple(tuple, "sKOO!Ld|L;('kernel', address, arg_slots, table bytes, extent, ns_per_item, cut)", &kind, &address,
                             &args, &PyBytes_Type, &table, &extent, &ns, &cut));
    if (address == 0) fail(PyExc_ValueError, "Program: %s: the kernel's address is 0", where_.c_str());
    if (PyBytes_GET_SIZE(table) % 8 != 0)
      fail(PyExc_ValueError, "Program: %s: the table has %zd bytes, not a whole number of int64", where_.c_str(), PyBytes_GET_SIZE(table));
    if (cut < 1) fail(PyExc_ValueError, "Program: %s: cut into pieces of %lld items", where_.c_str(), cut);
    if (extent < 0) fail(PyExc_ValueError, "Program: %s: negative extent %lld", where_.c_str(), extent);
    step.op = Op::kKernel;
    step.kernel = reinterpret_cast<Kernel>(static_cast<uintptr_t>(address));
    auto& slots = body_.arg_lists.emplace_back(slot_list(args, "kernel argument slots"));
    step.args = slots.data(), step.n_args = static_cast<uint32_t>(slots.size());
    auto& copy = body_.tables.emplace_back(PyBytes_GET_SIZE(table) / 8);
    if (!copy.empty()) std::memcpy(copy.data(), PyBytes_AS_STRING(table), PyBytes_GET_SIZE(table));
    step.table = copy.data();
    step.extent = extent;
    step.estimated_ns = ns * static_cast<double>(extent);
    step.split = ns > 0 && extent > 1 && step.estimated_ns > kSplitBreakEvenNs;
    step.align = cut;
    if (const char* name = kernel_name(step.kernel)) body_.paths[step.id] += std::string(" ").append(name);
    return ns == 0 ? kUnknownKernelNs : std::abs(step.estimated_ns);
  }

  double host(Step& step, PyObject* tuple) {
    const char* kind;
    PyObject *callable, *in_slots, *in_avals, *out_slots, *out_avals;
    require(PyArg_ParseTuple(tuple, "sOOOOO;('host', callable, in_slots, in_avals, out_slots, out_avals)", &kind, &callable,
                             &in_slots, &in_avals, &out_slots, &out_avals));
    if (!PyCallable_Check(callable)) fail(PyExc_TypeError, "Program: %s: %R is not callable", where_.c_str(), callable);
    HostCall& call = body_.host_calls.emplace_back();
    call.callable = Py_NewRef(callable);
    call.in_slots = slot_list(in_slots, "host in_slots");
    call.out_slots = slot_list(out_slots, "host out_slots");
    host_avals(in_avals, call.in_slots, call.in_avals, call.in_descs);
    host_avals(out_avals, call.out_slots, call.out_avals, call.out_descs);
    for (uint32_t s : call.out_slots) writable_slot(s, 0);
    step.op = Op::kHost, step.host = &call;
    body_.has_host = true;
    return kHostCallNs;
  }

  void host_avals(PyObject* list, const std::vector<uint32_t>& slots, std::vector<PyObject*>& avals, std::vector<Desc*>& descs) {
    Items items(list, "host avals");
    if (static_cast<size_t>(items.size()) != slots.size())
      fail(PyExc_ValueError, "Program: %s: %zu slots but %zd avals", where_.c_str(), slots.size(), items.size());
    for (Py_ssize_t i = 0; i < items.size(); ++i) {
      Desc* desc = desc_of(items[i]);
      require(desc != nullptr);
      checked_slot(slots[i], desc->nbytes);
      avals.push_back(items[i]);
      descs.push_back(desc);
    }
  }

  double loop(Step& step, PyObject* tuple, const std::string& path) {
    const char* kind;
    PyObject *trips, *counter, *body;
    int wide, reverse;
    require(PyArg_ParseTuple(tuple, "sOOppO;('loop', trip_count or ('slot', s), counter_slot, counter_is_64, reverse, steps)",
                             &kind, &trips, &counter, &wide, &reverse, &body));
    step.op = Op::kLoop;
    body_.has_loop = true;
    step.wide = wide, step.reverse = reverse;
    int64_t width = wide ? 8 : 4;
    step.a = counter == Py_None ? kNoSlot : writable_slot(as_int(counter, "loop counter slot"), width);
    if (PyTuple_Check(trips)) {
      long long slot;
      const char* word;
      require(PyArg_ParseTuple(trips, "sL;loop trip count: an int or ('slot', s)", &word, &slot));
      if (std::strcmp(word, "slot") != 0) fail(PyExc_ValueError, "Program: %s: trip count %R", where_.c_str(), trips);
      step.b = checked_slot(slot, width), step.extent = -1;
    } else {
      step.extent = std::max<int64_t>(0, as_int(trips, "loop trip count"));
    }
    step.blocks = new_blocks(1), step.n_blocks = 1;
    block(step.blocks[0], body, std::string(path).append(".body."));
    double turn = step.blocks[0].estimated_ns;
    step.check_every = check_every(turn);
    return turn * (step.extent >= 0 ? static_cast<double>(step.extent) : kUnknownTrips);
  }

  static uint32_t check_every(double turn_ns) {
    return static_cast<uint32_t>(std::clamp(kCheckIntervalNs / std::max(turn_ns, 1.0), 1.0, 65536.0));
  }

  Program::Body& body_;
  std::string where_ = "outputs";
};

}  // namespace

int program_parse(Program::Body& body, PyObject* in_avals, PyObject* out_avals, PyObject* slots, int64_t arena_bytes,
                  PyObject* consts, PyObject* steps, PyObject* outputs, PyObject* may_donate) {
  try {
    if (arena_bytes < 0) fail(PyExc_ValueError, "Program: arena_bytes is negative");
    body.arena_bytes = arena_bytes;
    Parser parser(body);
    parser.avals(in_avals, out_avals);
    parser.consts(consts);
    parser.slots(slots);
    parser.outputs(outputs, may_donate);
    parser.block(body.main, steps, "");
  } catch (const ParseError&) {
    return -1;
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
    return -1;
  }
  body.release_gil = body.main.estimated_ns > kReleaseGilNs;
  body.on_stack = body.slots.size() <= 32 && body.arena_bytes <= 2048;
  return 0;
}

}  // namespace addax
