"""numpy's arrays as gradc sees them."""

import ctypes

import numpy as np

from ._library import DTYPES, View


class Error(RuntimeError):
    """What gradc says of what it was given."""


Error.__module__ = "gradc"


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


# Types that files may have and models have not, as they are read.
WIDENED = {"i1": np.int32, "i2": np.int32, "u2": np.int32, "u4": np.int64}


def buffers_for(tensors, rows):
    """An array of so many rows for each."""
    return [np.empty((rows,) + t.shape[1:], DTYPES.get(t.dtype, np.uint8)) for t in tensors]


def arrays_of(tensors, given, what, rows=None, as_given=True):
    """One array in the model's type and shape for each tensor, and how many rows they have; those
    of files as they are."""
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
        if not as_given:
            value = value.astype(WIDENED.get(value.dtype.str[1:], value.dtype.newbyteorder("=")), copy=False)
            if dtype_name(value.dtype) is None or value.ndim == 0:
                raise Error(f'the {what} "{name}" is of type {value.dtype}, numbers in rows are expected')
            rows = value.shape[0]
            arrays.append(np.ascontiguousarray(value))
            continue
        wanted = tensor.shape[1:]
        if value.ndim == 0 or value.shape[1:] != wanted and not same_but_ones(value.shape[1:], wanted):
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


def same_but_ones(given, wanted):
    """Whether shapes differ in axes of extent 1 alone, as labels (n,) and (n, 1) do."""
    return [n for n in given if n != 1] == [n for n in wanted if n != 1]


def dtype_name(dtype):
    """gradc's name of numpy's type; None: it has none."""
    return next((name for name, kind in DTYPES.items() if dtype == kind), None)


def views_of(arrays):
    """gradc_view of each, in the model's order, and how many."""
    views = (View * len(arrays))()
    for view, array in zip(views, arrays):
        view.dtype = dtype_name(array.dtype).encode()
        view.shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        view.rank = array.ndim
        view.data = array.ctypes.data
    return views, len(arrays)


def by_name(tensors, arrays):
    """The only array, or a dict."""
    if len(arrays) == 1:
        return arrays[0]
    return {t.name.split("/", 1)[-1]: array for t, array in zip(tensors, arrays)}
