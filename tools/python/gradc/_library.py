"""libgradc as ctypes sees it: gradc/gradc.h."""

import ctypes
import os
from ctypes import c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint64, c_void_p

import numpy as np


WORK = ctypes.CFUNCTYPE(None, c_void_p, c_int32)
RUN = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_void_p, c_int32)


class Options(ctypes.Structure):
    _fields_ = [("batch_size", c_int64), ("threads", c_int32), ("has_seed", c_int32),
                ("seed", c_uint64), ("checked", c_int32), ("cache", c_int32), ("cpu", c_char_p),
                ("memory_budget", c_int64), ("run", RUN), ("run_user", c_void_p),
                ("target", c_char_p)]


class View(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("dtype", c_char_p), ("shape", ctypes.POINTER(c_int64)),
                ("rank", c_int32), ("data", c_void_p)]


class TrainReport(ctypes.Structure):
    _fields_ = [("epoch", c_int64), ("epochs", c_int64), ("step", c_int64), ("loss", c_double),
                ("metrics", ctypes.POINTER(c_double)), ("num_metrics", c_size_t),
                ("has_validation", c_int32), ("validation_loss", c_double),
                ("validation_metrics", ctypes.POINTER(c_double)), ("seconds", c_double),
                ("examples_per_second", c_double)]


CALLBACK = ctypes.CFUNCTYPE(c_int32, c_void_p, ctypes.POINTER(TrainReport))


class TensorInfo(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("kind", c_char_p), ("dtype", c_char_p), ("rank", c_int32),
                ("shape", ctypes.POINTER(c_int64)), ("bytes", c_int64)]


class TrainOptions(ctypes.Structure):
    _fields_ = [("data", c_char_p), ("epochs", c_int64), ("validation_split", c_double),
                ("has_validation_split", c_int32), ("resume", c_int32), ("overwrite", c_int32),
                ("weights", c_char_p), ("out", c_char_p), ("checkpoint", c_char_p),
                ("log", c_char_p), ("on_step", CALLBACK), ("on_epoch", CALLBACK),
                ("user", c_void_p), ("inputs", c_void_p), ("num_inputs", c_size_t),
                ("targets", c_void_p), ("num_targets", c_size_t), ("validation_inputs", c_void_p),
                ("num_validation_inputs", c_size_t), ("validation_targets", c_void_p),
                ("num_validation_targets", c_size_t), ("as_in_files", c_int32), ("go_on", c_int32),
                ("batch_size", c_int64), ("has_shuffle", c_int32), ("shuffle", c_int32),
                ("has_seed", c_int32), ("seed", c_uint64)]


DTYPES = {"f32": np.float32, "f64": np.float64, "f16": np.float16, "i8": np.int8, "i32": np.int32,
           "i64": np.int64, "u8": np.uint8, "u16": np.uint16, "u32": np.uint32, "bool": np.bool_}

FUNCTIONS = {
    "gradc_version": (c_char_p, []),
    "gradc_session_load": (c_void_p, [c_char_p, c_void_p, c_char_p, c_size_t]),
    "gradc_session_parse": (c_void_p, [c_char_p, c_void_p, c_char_p, c_size_t]),
    "gradc_session_destroy": (None, [c_void_p]),
    "gradc_last_error": (c_char_p, [c_void_p]),
    "gradc_session_warm_up": (c_int32, [c_void_p]),
    "gradc_session_batch_size": (c_int64, [c_void_p]),
    "gradc_session_num_tensors": (c_size_t, [c_void_p]),
    "gradc_session_tensor": (c_int32, [c_void_p, c_size_t, c_void_p]),
    "gradc_session_step": (c_int32, [c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p]),
    "gradc_session_evaluate": (c_int32, [c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p,
                                         c_void_p, c_size_t]),
    "gradc_session_predict": (c_int32, [c_void_p, c_void_p, c_size_t, c_void_p, c_size_t]),
    "gradc_session_train": (c_int32, [c_void_p, c_void_p, c_void_p, c_size_t, c_void_p]),
    "gradc_session_gradients": (c_int32, [c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p,
                                          c_int32, c_void_p, c_size_t]),
    "gradc_session_apply_gradients": (c_int32, [c_void_p]),
    "gradc_session_forward": (c_int32, [c_void_p, c_void_p, c_size_t, c_void_p, c_size_t]),
    "gradc_session_backward": (c_int32, [c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_int32,
                                         c_void_p, c_size_t]),
    "gradc_session_hyperparameter_name": (c_char_p, [c_void_p, c_size_t]),
    "gradc_session_hyperparameter": (c_int32, [c_void_p, c_char_p, c_void_p]),
    "gradc_session_set_hyperparameter": (c_int32, [c_void_p, c_char_p, c_double]),
    "gradc_session_another": (c_void_p, [c_void_p, c_void_p, c_int32, c_char_p, c_size_t]),
    "gradc_session_dump": (c_char_p, [c_void_p, c_char_p, c_char_p]),
    "gradc_session_profile": (c_char_p, [c_void_p, c_double]),
    "gradc_session_memory": (c_void_p, [c_void_p, c_char_p, c_void_p]),
    "gradc_session_initialize": (c_int32, [c_void_p, c_uint64]),
    "gradc_session_reset_states": (c_int32, [c_void_p]),
    "gradc_session_save": (c_int32, [c_void_p, c_char_p, c_int32]),
    "gradc_session_load_weights": (c_int32, [c_void_p, c_char_p]),
    "gradc_session_load_weights_only": (c_int32, [c_void_p, c_char_p]),
    "gradc_session_evaluate_data": (c_int32, [c_void_p, c_char_p, c_void_p, c_void_p, c_size_t]),
    "gradc_session_predict_data": (c_int32, [c_void_p, c_char_p, c_char_p]),
    "gradc_session_class_name": (c_char_p, [c_void_p, c_size_t, c_size_t]),
    "gradc_session_column_name": (c_char_p, [c_void_p, c_size_t, c_size_t]),
}

loaded = None


def lib():
    """libgradc: $GRADC_LIBRARY, else beside this module, else where the loader looks."""
    global loaded
    if loaded is None:
        beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libgradc.so")
        name = os.environ.get("GRADC_LIBRARY") or (beside if os.path.exists(beside) else "libgradc.so.0")
        try:
            library = ctypes.CDLL(name)
        except OSError as problem:
            raise ImportError(f"libgradc was not found ({problem}); set GRADC_LIBRARY to its path") from None
        for function, (result, arguments) in FUNCTIONS.items():
            getattr(library, function).restype = result
            getattr(library, function).argtypes = arguments
        loaded = library
    return loaded
