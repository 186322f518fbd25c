// The Python module: functions of integers (addresses, sizes, strides) and floats, checked by their callers in Python.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <utility>

#include "dispatch.h"
#include "exchange.h"
#include "experts.h"
#include "layers.h"
#include "schedule.h"

using namespace paddock;

namespace {

const KernelSet* active_set = nullptr;

// Reads positional arguments in order; after the first error every further read gives 0.
class Reader {
 public:
  Reader(PyObject* const* args, Py_ssize_t count, Py_ssize_t expected) : args_(args) {
    if (count != expected) PyErr_Format(PyExc_TypeError, "expected %zd arguments, got %zd", expected, count);
    failed_ = count != expected;
  }
  int64_t integer() {
    if (failed_) return 0;
    const long long value = PyLong_AsLongLong(args_[next_++]);
    failed_ = value == -1 && PyErr_Occurred();
    return value;
  }
  float real() {
    if (failed_) return 0;
    const double value = PyFloat_AsDouble(args_[next_++]);
    failed_ = value == -1.0 && PyErr_Occurred();
    return static_cast<float>(value);
  }
  // A number, or the bytes themselves.
  void* address() {
    if (!failed_ && PyBytes_Check(args_[next_])) return PyBytes_AsString(args_[next_++]);
    return reinterpret_cast<void*>(integer());
  }
  bool failed() const { return failed_; }

 private:
  PyObject* const* args_;
  Py_ssize_t next_ = 0;
  bool failed_;
};

// The next argument, as whatever the field that it initialises is: an address, a size or a number.
struct Next {
  Reader* reader;
  operator int64_t() const { return reader->integer(); }
  operator float() const { return reader->real(); }
  template <class T>
  operator T*() const { return static_cast<T*>(reader->address()); }
};

// An operation's arguments are the element type, the threads, and then the fields of its struct in order: a braced
// list is evaluated from left to right. Other Python threads (sockets, heartbeats) run while a kernel does.
template <class Args, size_t... fields, class Run>
PyObject* call(PyObject* const* values, Py_ssize_t count, std::index_sequence<fields...>, Run run) {
  Reader reader(values, count, 2 + sizeof...(fields));
  const bool narrow = reader.integer() != 0;
  const int threads = static_cast<int>(reader.integer());
  const Args args{((void)fields, Next{&reader})...};
  if (reader.failed()) return nullptr;
  Py_BEGIN_ALLOW_THREADS
  run(narrow ? active_set->bfloat16 : active_set->float32, args, threads);
  Py_END_ALLOW_THREADS
  Py_RETURN_NONE;
}

template <class Args, auto run>
PyObject* operation(PyObject*, PyObject* const* values, Py_ssize_t count) {
  constexpr size_t fields = sizeof(Args) / sizeof(int64_t);  // each takes so much, a float with its padding
  static_assert(sizeof(void*) == sizeof(int64_t));
  return call<Args>(values, count, std::make_index_sequence<fields>(), run);
}

template <size_t... fields>
PyObject* layer_bytes(PyObject* const* values, Py_ssize_t count, std::index_sequence<fields...>) {
  Reader reader(values, count, sizeof...(fields));
  const LayerWeights layer{((void)fields, Next{&reader})...};
  if (reader.failed()) return nullptr;
  return PyBytes_FromStringAndSize(reinterpret_cast<const char*>(&layer), sizeof layer);
}

// layer_weights(fields...) -> one LayerWeights, for the `layers` of LayersArgs.
PyObject* layer_weights(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return layer_bytes(values, count, std::make_index_sequence<sizeof(LayerWeights) / sizeof(int64_t)>());
}

// select(name or None) -> name of the set now in use.
PyObject* select(PyObject*, PyObject* const* values, Py_ssize_t count) {
  if (count != 1) return PyErr_Format(PyExc_TypeError, "expected 1 argument, got %zd", count);
  PyObject* text = values[0] == Py_None ? nullptr : PyUnicode_AsUTF8String(values[0]);
  if (!text && PyErr_Occurred()) return nullptr;
  const char* name = text ? PyBytes_AsString(text) : nullptr;
  const KernelSet* set = select_kernels(name);
  if (set) active_set = set;
  else PyErr_Format(PyExc_ValueError, "this processor or build cannot run the kernels '%s'", name);
  Py_XDECREF(text);
  return set ? PyUnicode_FromString(set->name) : nullptr;
}

PyMethodDef method(const char* name, PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t)) {
  return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)), METH_FASTCALL, nullptr};
}

PyMethodDef methods[] = {
    method("linear", operation<LinearArgs, run_linear>),
    method("pack", operation<PackArgs, run_pack>),
    method("lookup", operation<LookupArgs, run_lookup>),
    method("linear_quantized", operation<QuantizedArgs, run_quantized>),
    method("lookup_quantized", operation<QuantizedLookupArgs, run_quantized_lookup>),
    method("norm", operation<NormArgs, run_norm>),
    method("gate", operation<GateArgs, run_gate>),
    method("rotary", operation<RotaryArgs, run_rotary>),
    method("attention", operation<AttentionArgs, run_attention>),
    method("layer_weights", layer_weights),
    method("layers", operation<LayersArgs, run_layers>),
    method("exchange_reduce", operation<ExchangeArgs, run_reduce>),
    method("exchange_gather", operation<ExchangeArgs, run_gather>),
    method("exchange_broadcast", operation<ExchangeArgs, run_broadcast>),
    method("sort_by_expert", operation<SortArgs, run_sort>),
    method("grouped_linear", operation<GroupedArgs, run_grouped>),
    method("combine_experts", operation<CombineArgs, run_combine>),
    method("select", select),
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__native() {
  active_set = select_kernels(nullptr);
  return PyModule_Create(&definition);
}
