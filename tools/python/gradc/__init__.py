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
from collections import OrderedDict
from ctypes import byref, c_double, c_float, c_size_t, c_void_p

import numpy as np

from . import _library
from ._arrays import Error, Tensor, arrays_of, buffers_for, by_name, views_of
from ._library import CALLBACK, DTYPES, RUN, WORK, Options, TensorInfo, TrainOptions, lib

__all__ = ["Error", "Model", "load", "parse", "version"]


def version():
    """The version of libgradc."""
    return lib().gradc_version().decode()


def _path(path):
    return os.fsencode(os.fspath(path))


class Model:
    """A compiled model with its weights. Made by load() or parse(); used by one thread at a time."""

    def __init__(self, handle, threads=None):
        self._handle = handle
        self._threads = threads
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
        inputs, rows = arrays_of(self._inputs, x, "input")
        targets, _ = arrays_of(self._targets, y, "target", rows)
        loss = c_float()
        self._check(lib().gradc_session_step(self._live(), *views_of(inputs), *views_of(targets), byref(loss)))
        return loss.value

    def fit(self, x, y, epochs=1, batch_size=None, shuffle=True, seed=None, validation_data=None,
            validation_split=None, callback=None, on_step=None, as_in_files=False, checkpoint=None,
            resume=False, overwrite=False, log=None, verbose=1):
        """Trains for some epochs from the weights that the model has, the last and smaller batch too:
        the command's training (early stopping, schedules, ... as the model's "training" section
        says) over arrays. `validation_data` is (x, y); else the last `validation_split` of the rows
        is held out. `callback(epoch, logs)` is called after each epoch (from 1) and `on_step(step,
        logs)` after each step; training ends in order when one gives False. A `seed` draws other
        orders. With `as_in_files` arrays are as files have them: the model's "data" section is
        applied to them. Returns a dict of lists by name: loss, metrics, and of validation rows
        val_loss and val_<metric>."""
        history = OrderedDict()

        def after(epoch, logs):
            for name, value in logs.items():
                history.setdefault(name, []).append(value)
            return callback is None or callback(epoch, dict(logs)) is not False

        def lend(x, y):
            inputs, rows = arrays_of(self._inputs, x, "input", as_given=not as_in_files)
            targets, _ = arrays_of(self._targets, y, "target", rows, as_given=not as_in_files)
            if rows == 0:
                raise Error("there are no rows to train on")
            return inputs, targets

        self._train(epochs=epochs, batch_size=batch_size, shuffle=shuffle, seed=seed, go_on=True,
                    validation_split=0.0 if validation_split is None else validation_split,
                    arrays=lend(x, y), validation=validation_data and lend(*validation_data),
                    as_in_files=as_in_files, checkpoint=checkpoint, resume=resume,
                    overwrite=overwrite, log=log, on_step=on_step, verbose=verbose, callback=after)
        return dict(history)

    def train(self, data, epochs=0, batch_size=None, shuffle=None, seed=None, go_on=False,
              validation_split=None, weights=None, out=None, checkpoint=None, resume=False,
              overwrite=False, log=None, callback=None, on_step=None):
        """Trains from files as the command `gradc train` does; the training losses by epoch.
        `callback(epoch, logs)` is called after each epoch (from 1) and `on_step(step, logs)` after
        each step; training ends in order, with its files written, when one gives False. Without
        `go_on` it begins at initial weights, or those of `weights`."""
        losses = []

        def after(epoch, logs):
            losses.append(logs["loss"])
            return callback is None or callback(epoch, logs) is not False

        self._train(data=data, epochs=epochs, batch_size=batch_size, shuffle=shuffle, seed=seed, go_on=go_on,
                    validation_split=validation_split, weights=weights, out=out, checkpoint=checkpoint,
                    resume=resume, overwrite=overwrite, log=log, callback=after, on_step=on_step)
        return losses

    def _train(self, data=None, arrays=None, validation=None, epochs=0, batch_size=None, shuffle=None,
               seed=None, validation_split=None, weights=None, out=None, checkpoint=None, log=None,
               callback=None, on_step=None, verbose=0, **flags):
        """What fit() and train() are: gradc_session_train."""
        raised = []

        def heard(report, number, call):
            try:
                return call(number, self._logs(report)) is not False
            except BaseException as problem:  # nothing may leave a callback of C
                raised.append(problem)
                return False

        @CALLBACK
        def after_epoch(_, report):
            report = report.contents
            if verbose:
                text = "  ".join(f"{name} {value:.4f}" for name, value in self._logs(report).items())
                print(f"epoch {report.epoch}/{report.epochs}  {text}  {report.seconds:.2f} s", file=sys.stderr)
            return heard(report, report.epoch, callback)

        @CALLBACK
        def after_step(_, report):
            return heard(report.contents, report.contents.step, on_step)

        options = TrainOptions(epochs=epochs, batch_size=batch_size or 0, on_epoch=after_epoch,
                               on_step=after_step if on_step is not None else CALLBACK(), **flags)
        for name, path in (("data", data), ("weights", weights), ("out", out), ("checkpoint", checkpoint),
                           ("log", log)):
            setattr(options, name, None if path is None else _path(path))
        for name, value in (("shuffle", shuffle), ("seed", seed), ("validation_split", validation_split)):
            if value is not None:
                setattr(options, "has_" + name, True)
                setattr(options, name, value)
        kept = []  # views live until training ends
        for prefix, lists in (("", arrays), ("validation_", validation)):
            for name, given in zip(("inputs", "targets"), lists or ()):
                views, count = views_of(given)
                kept.append(views)
                setattr(options, prefix + name, ctypes.cast(views, c_void_p))
                setattr(options, "num_" + prefix + name, count)
        status = lib().gradc_session_train(self._live(), byref(options), None, 0, None)
        if raised:
            raise raised[0]
        self._check(status)

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
        given, rows = arrays_of(self._inputs, x, "input")
        targets, _ = arrays_of(self._targets, y, "target", rows)
        loss = c_float()
        buffers = buffers_for(self._input_gradients, rows) if inputs else []
        self._check(lib().gradc_session_gradients(
            self._live(), *views_of(given), *views_of(targets), byref(loss), parameters, *views_of(buffers)))
        return (loss.value, by_name(self._input_gradients, buffers)) if inputs else loss.value

    def apply_gradients(self):
        """The optimizer's step from model["gradient/<parameter>"]: after gradients() it is what
        step() does, to the last bit."""
        self._check(lib().gradc_session_apply_gradients(self._live()))

    def forward(self, x):
        """Outputs in training mode for at most a batch, for a loss of your own; changes nothing."""
        given, rows = arrays_of(self._inputs, x, "input")
        outputs = buffers_for(self._outputs, rows)
        self._check(lib().gradc_session_forward(self._live(), *views_of(given), *views_of(outputs)))
        return by_name(self._outputs, outputs)

    def backward(self, x, output_gradients, inputs=False, parameters=True):
        """The gradients of what you make of the outputs, from its gradients with respect to the
        outputs of forward(x): of parameters as by gradients(), and with `inputs` those of the inputs
        as the result."""
        given, rows = arrays_of(self._inputs, x, "input")
        seeds, _ = arrays_of(self._output_gradients, output_gradients, "gradient of the output", rows)
        buffers = buffers_for(self._input_gradients, rows) if inputs else []
        self._check(lib().gradc_session_backward(
            self._live(), *views_of(given), *views_of(seeds), parameters, *views_of(buffers)))
        return by_name(self._input_gradients, buffers) if inputs else None

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

    def another(self, share_weights=False, batch_size=None, threads=1, seed=None, checked=True, run=None):
        """Another model of the same compiled code, for a thread of its own or another batch size; with
        `share_weights` both have the same weights, which only one may change at a time, and while no
        other reads them."""
        def make(options, message, size):
            return lib().gradc_session_another(self._live(), options, share_weights, message, size)
        return _make(make, batch_size=batch_size, threads=threads, seed=seed, checked=checked, run=run)

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
        self._heard()
        if text is None:
            raise Error(lib().gradc_last_error(self._handle).decode(errors="replace").strip())
        return text.decode(errors="replace")

    # ---- use --------------------------------------------------------------------------------

    def predict(self, x):
        """Outputs for any number of rows: an array, or a dict by name where there are several."""
        inputs, rows = arrays_of(self._inputs, x, "input")
        outputs = buffers_for(self._outputs, rows)
        if rows > 0:
            self._check(lib().gradc_session_predict(self._live(), *views_of(inputs), *views_of(outputs)))
        return by_name(self._outputs, outputs)

    def evaluate(self, x, y):
        """Loss and metrics over all rows, as a dict by name."""
        inputs, rows = arrays_of(self._inputs, x, "input")
        targets, _ = arrays_of(self._targets, y, "target", rows)
        if rows == 0:
            raise Error("there are no rows to evaluate")
        loss = c_float()
        metrics = (c_float * len(self._metrics))()
        self._check(lib().gradc_session_evaluate(self._live(), *views_of(inputs), *views_of(targets), byref(loss),
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

    def _heard(self):
        """Raises what the host's threads raised."""
        if self._threads is not None and self._threads.raised:
            raise self._threads.raised.pop()

    def _check(self, status):
        self._heard()
        if status != 0:
            raise Error(lib().gradc_last_error(self._handle).decode(errors="replace").strip())

    def _of(self, kind):
        return [t for t in self._tensors if t.kind == kind]

    def _names(self, function, index):
        names = []
        while True:
            name = function(self._live(), index, len(names))
            if name is None:
                return names
            names.append(name.decode(errors="replace"))


class _Threads:
    """The host's threads as libgradc calls them. Nothing raised on the way leaves a callback of C: the
    model's next call, or the one that runs, raises it."""

    def __init__(self, run):
        self.raised = []

        @RUN
        def call(_, work, argument, threads):
            part = WORK(work)
            try:
                run(threads, lambda thread: part(argument, thread))
            except BaseException as problem:
                self.raised.append(problem)
        self.call = call


def _make(function, batch_size=None, threads=1, seed=None, checked=True, cache=False, cpu=None, memory_budget=0,
          run=None, target=None):
    """A model of function(options, message, size of the message)."""
    own = None if run is None else _Threads(run)
    options = Options(batch_size or 0, threads, seed is not None, seed or 0, checked, cache, _bytes(cpu),
                      memory_budget, RUN() if own is None else own.call, None, _bytes(target))
    message = ctypes.create_string_buffer(65536)
    handle = function(byref(options), message, len(message))
    if not handle:
        raise Error(message.value.decode(errors="replace").strip())
    return Model(handle, own)


def _bytes(text):
    return None if text is None else text.encode()


def load(path, batch_size=None, threads=1, seed=None, checked=True, cache=True, cpu=None, memory_budget=0,
         run=None, target=None):
    """Reads a model file. threads: 0 takes one per core. checked: labels out of range, NaN and
    infinity in what is given are errors. cache: compiled code is kept for other processes. cpu: no
    instructions beyond this CPU's, as LLVM names it. memory_budget: bytes that the arena of each
    entry may have; 0 sets none. run: threads of your own in place of gradc's: run(threads, work)
    calls work(i) for each i below `threads`, all at the same time, since they wait for each other,
    and returns when all have returned. target: code for this triple, which can be looked at
    (dump) and not run."""
    return _make(lambda *how: lib().gradc_session_load(_path(path), *how), batch_size, threads, seed, checked,
                 cache, cpu, memory_budget, run, target)


def parse(json, batch_size=None, threads=1, seed=None, checked=True, cache=True, cpu=None, memory_budget=0,
          run=None, target=None):
    """The same of a model's JSON as text or as a dict."""
    if not isinstance(json, (str, bytes)):
        import json as module
        json = module.dumps(json)
    text = json.encode() if isinstance(json, str) else json
    return _make(lambda *how: lib().gradc_session_parse(text, *how), batch_size, threads, seed, checked, cache,
                 cpu, memory_budget, run, target)
