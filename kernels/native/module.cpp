// The Python module: functions of integers (addresses, sizes, strides) and floats, checked by their callers in Python.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "dispatch.h"
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
  void* address() { return reinterpret_cast<void*>(integer()); }
  float real() {
    if (failed_) return 0;
    const double value = PyFloat_AsDouble(args_[next_++]);
    failed_ = value == -1.0 && PyErr_Occurred();
    return static_cast<float>(value);
  }
  const Kernels& kernels() { return integer() ? active_set->bfloat16 : active_set->float32; }
  bool failed() const { return failed_; }

 private:
  PyObject* const* args_;
  Py_ssize_t next_ = 0;
  bool failed_;
};

// Other Python threads (sockets, heartbeats) run while a kernel does.
template <class Args, class Run>
PyObject* call(const Reader& reader, const Kernels& kernels, const Args& args, int threads, Run run) {
  if (reader.failed()) return nullptr;
  Py_BEGIN_ALLOW_THREADS
  run(kernels, args, threads);
  Py_END_ALLOW_THREADS
  Py_RETURN_NONE;
}

PyObject* linear(PyObject*, PyObject* const* values, Py_ssize_t count) {
  Reader r(values, count, 10);
  const Kernels& kernels = r.kernels();
  const int threads = r.integer();
  // Braced lists are read from left to right.
  const LinearArgs args{static_cast<const float*>(r.address()), r.address(), r.address(), r.address(),
                        r.integer(), r.integer(), r.integer(), r.integer()};
  const bool widen = &kernels == &active_set->bfloat16;
  return call(r, kernels, args, threads, [widen](const Kernels& k, const LinearArgs& a, int count) {
    run_linear(k, a, widen, count);
  });
}

PyObject* norm(PyObject*, PyObject* const* values, Py_ssize_t count) {
  Reader r(values, count, 11);
  const Kernels& kernels = r.kernels();
  const int threads = r.integer();
  const NormArgs args{r.address(), r.address(), r.address(), r.address(), r.address(),
                      r.integer(), r.integer(), r.integer(), r.real()};
  return call(r, kernels, args, threads, run_norm);
}

PyObject* gate(PyObject*, PyObject* const* values, Py_ssize_t count) {
  Reader r(values, count, 6);
  const Kernels& kernels = r.kernels();
  const int threads = r.integer();
  const GateArgs args{r.address(), r.address(), r.integer(), r.integer()};
  return call(r, kernels, args, threads, run_gate);
}

PyObject* rotary(PyObject*, PyObject* const* values, Py_ssize_t count) {
  Reader r(values, count, 20);
  const Kernels& kernels = r.kernels();
  const int threads = r.integer();
  const RotaryArgs args{r.address(),
                        static_cast<const float*>(r.address()),
                        static_cast<const float*>(r.address()),
                        r.address(),
                        r.address(),
                        r.address(),
                        r.address(),
                        r.address(),
                        static_cast<const int64_t*>(r.address()),
                        r.integer(),
                        r.integer(),
                        r.integer(),
                        r.integer(),
                        r.integer(),
                        r.integer(),
                        r.integer(),
                        r.integer(),
                        r.real()};
  return call(r, kernels, args, threads, run_rotary);
}

PyObject* attention(PyObject*, PyObject* const* values, Py_ssize_t count) {
  Reader r(values, count, 19);
  const Kernels& kernels = r.kernels();
  const int threads = r.integer();
  const AttentionArgs args{r.address(),
                           r.address(),
                           r.address(),
                           r.address(),
                           static_cast<const int32_t*>(r.address()),
                           static_cast<const int32_t*>(r.address()),
                           static_cast<const int32_t*>(r.address()),
                           r.integer(),
                           r.integer(),
                           r.integer(),
                           r.integer(),
                           r.integer(),
                           r.integer(),
                           r.integer(),
                           r.integer(),
                           r.integer(),
                           r.real()};
  return call(r, kernels, args, threads, run_attention);
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
    method("linear", linear),
    method("norm", norm),
    method("gate", gate),
    method("rotary", rotary),
    method("attention", attention),
    method("select", select),
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__native() {
  active_set = select_kernels(nullptr);
  return PyModule_Create(&definition);
}
