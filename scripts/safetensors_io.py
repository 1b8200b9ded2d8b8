"""Reading and writing safetensors files with numpy alone (format: 8-byte little-endian header size, JSON, data)."""
import json

import numpy as np

_NAMES = {"F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U8": "u1", "BOOL": "?"}
_CODES = {np.dtype(v).str: k for k, v in _NAMES.items()}


def save(path, tensors):
    """Writes a dict of name -> array; names are sorted so that equal content gives equal files."""
    header, blobs, offset = {}, [], 0
    for name in sorted(tensors):
        array = np.asarray(tensors[name])
        data = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": _CODES[array.dtype.str.replace("|u1", "|u1")],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        blobs.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def load(path):
    """Returns a dict of name -> array."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        data = file.read()
    result = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        array = np.frombuffer(data[begin:end], dtype=_NAMES[entry["dtype"]])
        result[name] = array.reshape(entry["shape"])
    return result
