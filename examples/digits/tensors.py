"""Reading and writing safetensors files: a length, a JSON header, tensors."""
import json
import struct

import numpy as np

TYPES = {"U8": np.uint8, "F32": np.float32}


def save(path, tensors, metadata=None):
    header = {"__metadata__": metadata} if metadata else {}
    blobs, at = [], 0
    for name, array in tensors.items():
        blob = np.ascontiguousarray(array).tobytes()
        word = next(word for word, type_ in TYPES.items() if array.dtype == type_)
        header[name] = {"dtype": word, "shape": list(array.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def load(path):
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(data[begin:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors
