"""Messages between the grader and the process of graded code: JSON and arrays. Nothing is executed or unpickled.

A message is two lengths (4 bytes each, big-endian), that many bytes of JSON, and that many bytes of numbers. The JSON's
"arrays" lists [dtype, shape] of each array; their bytes follow one another. Who reads trusts none of it.
"""

import json
import math
import struct

import numpy as np

DTYPES = ("float64", "float32", "int64", "int32", "uint8", "bool")
HEADER = 1 << 20  # bytes of JSON
BODY = 1 << 27  # bytes of numbers
REPLY = 32_000_000  # bytes of numbers in all replies of a process; a layer's draws need 8 MB, all else less than 1 MB
ARRAYS = 1000
LEVELS = 12  # of lists and objects in JSON; ours have five


class Malformed(Exception):
    """Bytes that are no message."""


def write(stream, header, arrays=()):
    """Writes a message; raises OSError if nobody reads."""
    arrays = [np.ascontiguousarray(array).reshape(np.shape(array)) for array in arrays]
    header = header | {"arrays": [[array.dtype.name, array.shape] for array in arrays]}
    head, body = json.dumps(header).encode(), b"".join(array.tobytes() for array in arrays)
    stream.write(struct.pack(">II", len(head), len(body)) + head + body)
    stream.flush()


def read(stream):
    """Reads the next message, (header, arrays); None at the end of the stream.

    Raises:
        Malformed: if it is none: too long, no JSON, other dtypes, shapes that do not fit the bytes.
    """
    lengths = stream.read(8)
    if not lengths:
        return None
    if len(lengths) < 8:
        raise Malformed("a message that breaks off")
    head, body = struct.unpack(">II", lengths)
    if head > HEADER or body > BODY:
        raise Malformed(f"a message of {head:,} and {body:,} bytes")
    text, numbers = stream.read(head), stream.read(body)
    if len(text) < head or len(numbers) < body:
        raise Malformed("a message that breaks off")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed("a message without a header") from None
    if not _shallow(header, LEVELS):
        raise Malformed("a header of too many levels")
    if not isinstance(header, dict) or not isinstance(header.get("arrays"), list) or len(header["arrays"]) > ARRAYS:
        raise Malformed("a header without arrays")
    arrays, start = [], 0
    for described in header["arrays"]:
        dtype, shape = described if isinstance(described, list) and len(described) == 2 else (None, None)
        if dtype not in DTYPES or not isinstance(shape, list) or len(shape) > 16:
            raise Malformed("an array of no known kind")
        if not all(type(n) is int and 0 <= n <= BODY for n in shape):
            raise Malformed("an array of no shape")
        count = math.prod(shape)
        stop = start + count * np.dtype(dtype).itemsize
        if stop > len(numbers):
            raise Malformed("an array without its numbers")
        arrays.append(np.frombuffer(numbers, dtype, count, start).reshape(shape))
        start = stop
    if start != len(numbers):
        raise Malformed("numbers of no array")
    return header, arrays


def _shallow(value, levels):
    """Whether lists and objects are nested at most so deep: whoever walks through them later is not to stumble."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return True
    return levels > 0 and all(_shallow(inner, levels - 1) for inner in value)


class Metered:
    """A stream of which only so many bytes can be read, in all: who writes it does not decide how much is stored."""

    def __init__(self, stream, most):
        self.stream, self.most, self.remaining = stream, most, most

    def read(self, number):
        """Reads as a stream does; raises `Malformed` where that is more than what remains."""
        if number > self.remaining:
            raise Malformed(f"more than the {self.most / 1e6:.0f} MB that are looked at")
        self.remaining -= number
        return self.stream.read(number)


def packed(values):
    """Packs a dict of arrays, numbers and texts as (what JSON can hold, arrays)."""
    arrays, plain = [], {}
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            plain[name] = {"array": len(arrays)}
            arrays.append(value)
        else:
            plain[name] = {"value": value.item() if isinstance(value, np.generic) else value}
    return plain, arrays


def unpacked(plain, arrays):
    """Restores the dict that `packed` received; its arrays may be written to."""
    return {name: arrays[v["array"]].copy() if "array" in v else v["value"] for name, v in plain.items()}
