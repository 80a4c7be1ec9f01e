"""safetensors files as dicts of numpy arrays, with numpy alone: {name: array}."""
import json

import numpy as np

DTYPES = {"F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "I64": np.dtype("<i8")}
CODES = {dtype: code for code, dtype in DTYPES.items()}


def write(path, tensors):
    """Writes the arrays without gaps, wider types first so that each is aligned, then by name."""
    header, blobs, offset = {"__metadata__": {"format": "pt"}}, [], 0
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    for name, array in sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])):
        header[name] = {"dtype": CODES[array.dtype], "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}
        blobs.append(array.tobytes())
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.writelines(blobs)


def read(path):
    """Reads every tensor; an offset, size or type that does not fit is a ValueError."""
    with open(path, "rb") as file:
        data = file.read()
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8:8 + size]), data[8 + size:]
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, (begin, end) = DTYPES[entry["dtype"]], entry["data_offsets"]
        if not 0 <= begin <= end <= len(body) or end - begin != dtype.itemsize * int(np.prod(entry["shape"])):
            raise ValueError(f"{path}: {name}: offsets {begin}..{end} do not fit shape {entry['shape']}")
        tensors[name] = np.frombuffer(body[begin:end], dtype).reshape(entry["shape"])
    return tensors
