"""Train neural networks with gradc: models given as JSON, .keras, .h5 or TensorFlow.js files are
compiled to native code inside this process. A thin layer over the C API (gradc/gradc.h); it needs
libgradc.so and numpy, and no compiler.

    import gradc
    model = gradc.load("model.json", threads=2)
    model.fit(x, y, epochs=5, validation_data=(x_test, y_test))
    classes = model.predict(x_test).argmax(axis=1)
    model.save("weights.safetensors")

Arrays of the model's type, in C order, are read in place; others are converted first. Values are
what the network is given: the model's "data" section is for files (train, evaluate_data,
predict_data). Errors are gradc.Error with the text that the command would print.
"""

import ctypes
import os
import sys
import time
from collections import OrderedDict
from ctypes import byref, c_double, c_float, c_size_t, c_void_p

import numpy as np

from . import _library
from ._library import CALLBACK, DTYPES, Options, TensorInfo, TrainOptions, lib

__all__ = ["Error", "Model", "load", "parse", "version"]


class Error(RuntimeError):
    """What gradc says of what it was given."""


def version():
    """The version of libgradc."""
    return lib().gradc_version().decode()


def _path(path):
    return os.fsencode(os.fspath(path))


class Tensor:
    """What a tensor of the model is: name, kind, dtype and shape (inputs, targets and outputs with
    the batch first)."""

    def __init__(self, info):
        self.name = info.name.decode()
        self.kind = info.kind.decode()
        self.dtype = info.dtype.decode()
        self.shape = tuple(info.shape[i] for i in range(info.rank))

    def __repr__(self):
        return f"{self.kind} {self.name}: {self.dtype}{list(self.shape)}"


class Model:
    """A compiled model with its weights. Made by load() or parse(); used by one thread at a time."""

    def __init__(self, handle):
        self._handle = handle
        self._tensors = []
        for index in range(lib().gradc_session_num_tensors(handle)):
            info = TensorInfo()
            self._check(lib().gradc_session_tensor(handle, index, byref(info)))
            self._tensors.append(Tensor(info))
        self._inputs = self._of("input")
        self._targets = self._of("target")
        self._outputs = self._of("output")
        self._input_gradients = self._of("input_gradient")
        self._output_gradients = self._of("output_gradient")
        self._metrics = [t.name.split("/", 1)[-1] for t in self._of("metric")]

    def __del__(self):
        self.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Frees the model now; arrays of its weights must not be used any more."""
        handle, self._handle = getattr(self, "_handle", None), None
        if handle and _library is not None and _library.loaded is not None:
            _library.loaded.gradc_session_destroy(handle)

    # ---- what the model is ------------------------------------------------------------------

    @property
    def tensors(self):
        """All tensors: parameters, states, inputs, targets, outputs, ..."""
        return list(self._tensors)

    @property
    def batch_size(self):
        return lib().gradc_session_batch_size(self._live())

    @property
    def metrics_names(self):
        """"loss", and the metrics in the model's order."""
        return ["loss"] + list(self._metrics)

    def keys(self):
        """Names of all parameters and states."""
        return [t.name for t in self._tensors
                if t.kind in ("parameter", "state", "optimizer_state", "carried")]

    def __getitem__(self, name):
        """The memory of a parameter or state as an array: writing to it changes the model."""
        tensor = next((t for t in self._tensors if t.name == name), None)
        count = c_size_t()
        memory = lib().gradc_session_memory(self._live(), name.encode(), byref(count))
        if tensor is None or not memory:
            raise KeyError(name)
        raw = (ctypes.c_uint8 * count.value).from_address(memory)
        raw.model = self  # keeps the memory alive
        if tensor.dtype not in DTYPES:
            return np.frombuffer(raw, np.uint8)
        return np.frombuffer(raw, DTYPES[tensor.dtype]).reshape(tensor.shape)

    def __setitem__(self, name, value):
        array = self[name]
        value = np.asarray(value)
        if value.shape != array.shape:
            raise Error(f'"{name}" has the shape {array.shape}, {value.shape} was given')
        array[...] = value

    def classes(self, output=0):
        """What the numbers of an output stand for, as the training data or the weights file told."""
        return self._names(lib().gradc_session_class_name, output)

    def columns(self, input=0):
        """The columns of an input from a table, likewise."""
        return self._names(lib().gradc_session_column_name, input)

    # ---- training ---------------------------------------------------------------------------

    def step(self, x, y):
        """One training step on at most a batch; the loss before the update."""
        inputs, rows = self._arrays(self._inputs, x, "input")
        targets, _ = self._arrays(self._targets, y, "target", rows)
        loss = c_float()
        self._check(lib().gradc_session_step(self._live(), _pointers(inputs), len(inputs),
                                              _pointers(targets), len(targets), rows, byref(loss)))
        return loss.value

    def fit(self, x, y, epochs=1, shuffle=True, seed=0, validation_data=None, callback=None, verbose=1):
        """Trains for some epochs, the last and smaller batch too. `callback(epoch, logs)` is called
        after each epoch (from 1); training ends when it gives False. Returns a dict of lists by
        name: loss, and of validation_data val_loss and val_<metric>."""
        inputs, rows = self._arrays(self._inputs, x, "input")
        targets, _ = self._arrays(self._targets, y, "target", rows)
        if rows == 0:
            raise Error("there are no rows to train on")
        random = np.random.default_rng(seed)
        history = OrderedDict(loss=[])
        batch = self.batch_size
        for epoch in range(1, epochs + 1):
            begin = time.monotonic()
            order = random.permutation(rows) if shuffle else None
            total = 0.0
            for first in range(0, rows, batch):
                count = min(batch, rows - first)
                part = slice(first, first + count) if order is None else order[first:first + count]
                total += count * self.step([a[part] for a in inputs], [a[part] for a in targets])
            logs = OrderedDict(loss=total / rows)
            if validation_data is not None:
                for name, value in self.evaluate(*validation_data).items():
                    logs["val_" + name] = value
            for name, value in logs.items():
                history.setdefault(name, []).append(value)
            if verbose:
                text = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
                print(f"epoch {epoch}/{epochs}  {text}  {time.monotonic() - begin:.2f} s", file=sys.stderr)
            if callback is not None and callback(epoch, dict(logs)) is False:
                break
        return dict(history)

    def train(self, data, epochs=0, validation_split=None, weights=None, out=None, checkpoint=None,
              resume=False, overwrite=False, log=None, callback=None, on_step=None):
        """Trains from files as the command `gradc train` does; the training losses by epoch.
        `callback(epoch, logs)` is called after each epoch (from 1) and `on_step(step, logs)` after
        each step; training ends in order, with its files written, when one gives False."""
        def text(path):
            return None if path is None else _path(path)
        raised = []
        losses = []

        def heard(report, number, call):
            try:
                return call is None or call(number, self._logs(report)) is not False
            except BaseException as problem:  # nothing may leave a callback of C
                raised.append(problem)
                return False

        @CALLBACK
        def after_epoch(_, report):
            losses.append(report.contents.loss)
            return heard(report.contents, report.contents.epoch, callback)

        @CALLBACK
        def after_step(_, report):
            return heard(report.contents, report.contents.step, on_step)

        options = TrainOptions(text(data), epochs, validation_split or 0.0, validation_split is not None,
                                resume, overwrite, text(weights), text(out), text(checkpoint), text(log),
                                after_step if on_step is not None else CALLBACK(), after_epoch)
        status = lib().gradc_session_train(self._live(), byref(options), None, 0, None)
        if raised:
            raise raised[0]
        self._check(status)
        return losses

    def _logs(self, report):
        """What a report says, by name."""
        logs = OrderedDict(zip(self.metrics_names, [report.loss] + report.metrics[:report.num_metrics]))
        if report.has_validation:
            values = [report.validation_loss] + report.validation_metrics[:report.num_metrics]
            logs.update(("val_" + name, value) for name, value in zip(self.metrics_names, values))
        return logs

    # ---- training by hand ------------------------------------------------------------------

    def gradients(self, x, y, inputs=False, parameters=True):
        """The loss, in training mode, for at most a batch, and its gradients: those of parameters
        are then model["gradient/<parameter>"], to read or change in place, until the next call;
        apply_gradients() makes a step of them. With `inputs` the gradients of the inputs are given
        too, (loss, gradients): an array, or a dict by name where there are several."""
        given, rows = self._arrays(self._inputs, x, "input")
        targets, _ = self._arrays(self._targets, y, "target", rows)
        loss = c_float()
        buffers = self._buffers(self._input_gradients, rows) if inputs else []
        self._check(lib().gradc_session_gradients(
            self._live(), _pointers(given), len(given), _pointers(targets), len(targets), rows,
            byref(loss), parameters, _pointers(buffers) if buffers else None, len(buffers)))
        return (loss.value, _by_name(self._input_gradients, buffers)) if inputs else loss.value

    def apply_gradients(self):
        """The optimizer's step from model["gradient/<parameter>"]: after gradients() it is what
        step() does, to the last bit."""
        self._check(lib().gradc_session_apply_gradients(self._live()))

    def forward(self, x):
        """Outputs in training mode for at most a batch, for a loss of your own; changes nothing."""
        given, rows = self._arrays(self._inputs, x, "input")
        outputs = self._buffers(self._outputs, rows)
        self._check(lib().gradc_session_forward(self._live(), _pointers(given), len(given), rows,
                                                 _pointers(outputs), len(outputs)))
        return _by_name(self._outputs, outputs)

    def backward(self, x, output_gradients, inputs=False, parameters=True):
        """The gradients of what you make of the outputs, from its gradients with respect to the
        outputs of forward(x): of parameters as by gradients(), and with `inputs` those of the inputs
        as the result."""
        given, rows = self._arrays(self._inputs, x, "input")
        seeds, _ = self._arrays(self._output_gradients, output_gradients, "gradient of the output", rows)
        buffers = self._buffers(self._input_gradients, rows) if inputs else []
        self._check(lib().gradc_session_backward(
            self._live(), _pointers(given), len(given), _pointers(seeds), len(seeds), rows,
            parameters, _pointers(buffers) if buffers else None, len(buffers)))
        return _by_name(self._input_gradients, buffers) if inputs else None

    @property
    def hyperparameters(self):
        """The optimizer's numbers that can be set, by name: what the next step takes. A copy;
        set_hyperparameter() changes them."""
        values = OrderedDict()
        while True:
            name = lib().gradc_session_hyperparameter_name(self._live(), len(values))
            if name is None:
                return dict(values)
            value = c_double()
            self._check(lib().gradc_session_hyperparameter(self._live(), name, byref(value)))
            values[name.decode()] = value.value

    def set_hyperparameter(self, name, value):
        """From the next step on, until it is set again. A learning rate takes the place of its
        schedule; None gives it back."""
        number = float("nan") if value is None else float(value)
        self._check(lib().gradc_session_set_hyperparameter(self._live(), name.encode(), number))

    @property
    def learning_rate(self):
        return self.hyperparameters["learning_rate"]

    @learning_rate.setter
    def learning_rate(self, value):
        self.set_hyperparameter("learning_rate", value)

    def another(self, share_weights=False, batch_size=None, threads=1, seed=None, checked=True):
        """Another model of the same compiled code, for a thread of its own or another batch size; with
        `share_weights` both have the same weights, which only one may change at a time, and while no
        other reads them."""
        options = _options(batch_size, threads, seed, checked, False)
        message = ctypes.create_string_buffer(65536)
        handle = lib().gradc_session_another(self._live(), byref(options), share_weights, message,
                                              len(message))
        if not handle:
            raise Error(message.value.decode(errors="replace").strip())
        return Model(handle)

    # ---- what it is compiled to ---------------------------------------------------------------

    def dump(self, stage="optimized", entry="train_step"):
        """A stage of an entry on its way to machine code, as `gradc inspect` prints it: graph,
        gradient, optimized, fused, scheduled, planned, kernels, llvm or asm."""
        return self._text(lib().gradc_session_dump(self._live(), stage.encode(), entry.encode()))

    def profile(self, seconds=1.0):
        """A table of what each kernel of the training step takes, measured on data and weights of
        its own."""
        return self._text(lib().gradc_session_profile(self._live(), seconds))

    def _text(self, text):
        if text is None:
            raise Error(lib().gradc_last_error(self._handle).decode(errors="replace").strip())
        return text.decode(errors="replace")

    # ---- use --------------------------------------------------------------------------------

    def predict(self, x):
        """Outputs for any number of rows: an array, or a dict by name where there are several."""
        inputs, rows = self._arrays(self._inputs, x, "input")
        outputs = self._buffers(self._outputs, rows)
        if rows > 0:
            self._check(lib().gradc_session_predict(self._live(), _pointers(inputs), len(inputs), rows,
                                                     _pointers(outputs), len(outputs)))
        return _by_name(self._outputs, outputs)

    def evaluate(self, x, y):
        """Loss and metrics over all rows, as a dict by name."""
        inputs, rows = self._arrays(self._inputs, x, "input")
        targets, _ = self._arrays(self._targets, y, "target", rows)
        if rows == 0:
            raise Error("there are no rows to evaluate")
        loss = c_float()
        metrics = (c_float * len(self._metrics))()
        self._check(lib().gradc_session_evaluate(self._live(), _pointers(inputs), len(inputs),
                                                  _pointers(targets), len(targets), rows, byref(loss),
                                                  metrics if self._metrics else None, len(self._metrics)))
        return dict(zip(self.metrics_names, [loss.value] + list(metrics)))

    def evaluate_data(self, data):
        """Loss and metrics over a data set, as `gradc eval` gives them."""
        loss = c_double()
        metrics = (c_double * len(self._metrics))()
        self._check(lib().gradc_session_evaluate_data(self._live(), _path(data), byref(loss), metrics,
                                                       len(self._metrics)))
        return dict(zip(self.metrics_names, [loss.value] + list(metrics)))

    def predict_data(self, data, out):
        """Outputs for a data set into a .npy, .safetensors or .csv file, as `gradc predict`."""
        self._check(lib().gradc_session_predict_data(self._live(), _path(data), _path(out)))

    def save(self, path, with_optimizer=False):
        """Weights as safetensors; with the optimizer's state training can go on later."""
        self._check(lib().gradc_session_save(self._live(), _path(path), with_optimizer))

    def load_weights(self, path, with_optimizer=True):
        load = lib().gradc_session_load_weights if with_optimizer else lib().gradc_session_load_weights_only
        self._check(load(self._live(), _path(path)))

    def initialize(self, seed):
        """All parameters and states get their initial values."""
        self._check(lib().gradc_session_initialize(self._live(), seed))

    def reset_states(self):
        """Stateful layers begin anew."""
        self._check(lib().gradc_session_reset_states(self._live()))

    def warm_up(self):
        """Compiles everything now, not at its first use."""
        self._check(lib().gradc_session_warm_up(self._live()))

    # ---- within -----------------------------------------------------------------------------

    def _live(self):
        if self._handle is None:
            raise Error("the model was closed")
        return self._handle

    def _check(self, status):
        if status != 0:
            raise Error(lib().gradc_last_error(self._handle).decode(errors="replace").strip())

    def _of(self, kind):
        return [t for t in self._tensors if t.kind == kind]

    def _buffers(self, tensors, rows):
        """An array of so many rows for each."""
        return [np.empty((rows,) + t.shape[1:], DTYPES.get(t.dtype, np.uint8)) for t in tensors]

    def _names(self, function, index):
        names = []
        while True:
            name = function(self._live(), index, len(names))
            if name is None:
                return names
            names.append(name.decode(errors="replace"))

    def _arrays(self, tensors, given, what, rows=None):
        """One array in the model's type and shape for each tensor, and how many rows they have."""
        names = [t.name.split("/", 1)[-1] for t in tensors]
        if isinstance(given, dict):
            for name in given:
                if name not in names:
                    raise Error(f'there is no {what} "{name}"; the model has {", ".join(names)}')
            missing = [name for name in names if name not in given]
            if missing:
                raise Error(f'the {what} "{missing[0]}" is missing')
            given = [given[name] for name in names]
        elif not isinstance(given, (list, tuple)) or len(tensors) == 1 and len(given) != 1:
            given = [given]
        if len(given) != len(tensors):
            raise Error(f"{len(given)} {what}s were given, the model has {len(tensors)}: {', '.join(names)}")
        arrays = []
        for tensor, name, value in zip(tensors, names, given):
            if tensor.dtype not in DTYPES:
                raise Error(f'the {what} "{name}" is {tensor.dtype}, which numpy has not')
            value = np.asarray(value)
            wanted = tensor.shape[1:]
            if value.ndim == 0 or value.shape[1:] != wanted and not _same_but_ones(value.shape[1:], wanted):
                raise Error(f'the {what} "{name}" has the shape {value.shape}, expected {(None,) + wanted}')
            kind = np.dtype(DTYPES[tensor.dtype]).kind
            if value.dtype.kind == "f" and kind in "iub" and not np.array_equal(value, np.trunc(value)):
                raise Error(f'the {what} "{name}" has values that are no whole numbers, {tensor.dtype} is expected')
            if value.dtype.kind in "OSUc":
                raise Error(f'the {what} "{name}" is of type {value.dtype}, {tensor.dtype} is expected')
            if kind in "iu" and value.size and value.dtype.kind in "iuf":
                limits = np.iinfo(DTYPES[tensor.dtype])
                if value.min() < limits.min or value.max() > limits.max:
                    raise Error(f'the {what} "{name}" has values that {tensor.dtype} does not have')
            if rows is not None and value.shape[0] != rows:
                raise Error(f'the {what} "{name}" has {value.shape[0]} rows, others have {rows}')
            rows = value.shape[0]
            arrays.append(np.ascontiguousarray(value.reshape((rows,) + wanted), DTYPES[tensor.dtype]))
        return arrays, rows


def _same_but_ones(given, wanted):
    """Whether shapes differ in axes of extent 1 alone, as labels (n,) and (n, 1) do."""
    return [n for n in given if n != 1] == [n for n in wanted if n != 1]


def _pointers(arrays):
    return (c_void_p * len(arrays))(*[a.ctypes.data for a in arrays])


def _by_name(tensors, arrays):
    """The only array, or a dict."""
    if len(arrays) == 1:
        return arrays[0]
    return {t.name.split("/", 1)[-1]: array for t, array in zip(tensors, arrays)}


def _options(batch_size, threads, seed, checked, cache, cpu=None, memory_budget=0):
    return Options(batch_size or 0, threads, seed is not None, seed or 0, checked, cache,
                   None if cpu is None else cpu.encode(), memory_budget)


def _make(function, text, *given):
    options = _options(*given)
    message = ctypes.create_string_buffer(65536)
    handle = function(text, byref(options), message, len(message))
    if not handle:
        raise Error(message.value.decode(errors="replace").strip())
    return Model(handle)


def load(path, batch_size=None, threads=1, seed=None, checked=True, cache=True, cpu=None,
         memory_budget=0):
    """Reads a model file. threads: 0 takes one per core. checked: labels out of range, NaN and
    infinity in what is given are errors. cache: compiled code is kept for other processes. cpu: no
    instructions beyond this CPU's, as LLVM names it. memory_budget: bytes that the arena of each
    entry may have; 0 sets none."""
    return _make(lib().gradc_session_load, _path(path), batch_size, threads, seed, checked, cache, cpu,
                 memory_budget)


def parse(json, batch_size=None, threads=1, seed=None, checked=True, cache=True, cpu=None,
          memory_budget=0):
    """The same of a model's JSON as text or as a dict."""
    if not isinstance(json, (str, bytes)):
        import json as module
        json = module.dumps(json)
    text = json.encode() if isinstance(json, str) else json
    return _make(lib().gradc_session_parse, text, batch_size, threads, seed, checked, cache, cpu,
                 memory_budget)
