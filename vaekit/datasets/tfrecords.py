"""Reading TensorFlow's record files, any record first, with nothing but the standard library.

A file is records: their length in 8 bytes, little end first, 4 bytes of checksum, the record, 4 bytes of checksum (none
is verified). A record is a `tf.train.Example` in protocol buffers: fields, each a key (number · 8 + kind) and a value,
where kind 0 is a number, kind 2 so many bytes. Example 1 → features 1 → (1 name, 2 → (1 list of bytes → 1 bytes)).
"""

import struct


def offsets(path):
    """Finds the records of a file: a list of (offset, length) in bytes; the file is not read as a whole.

    Raises:
        ValueError: no records, or the last one is cut off.
    """
    size, found = path.stat().st_size, []
    with open(path, "rb") as file:
        while len(header := file.read(12)) == 12:
            (length,) = struct.unpack("<Q", header[:8])
            found.append((file.tell(), length))
            if found[-1][0] + length + 4 > size:
                raise ValueError(f"{str(path)!r} is no file of TensorFlow's records, or is cut off.")
            file.seek(length + 4, 1)
    if header or not found:
        raise ValueError(f"{str(path)!r} is no file of TensorFlow's records, or is cut off.")
    return found


def bytes_features(record, names):
    """Reads features of a record, one `bytes` each: a dict of `memoryview`s by name, without those it lacks."""
    found = {}
    for _, features in _fields(memoryview(record)):
        for _, entry in _fields(features):
            name, feature = (value for _, value in _fields(entry))
            if (name := bytes(name).decode()) in names:
                ((_, values),) = _fields(feature)
                found[name] = next(value for _, value in _fields(values))
    return found


def _fields(message):
    """Yields the fields of a message in protocol buffers: number and value, a memoryview or an integer."""
    place = 0

    def integer():  # seven bits a byte, low ones first; the eighth says that there are more
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            value, place, shift = value | (byte & 127) << shift, place + 1, shift + 7
            if byte < 128:
                return value

    while place < len(message):
        number, kind = divmod(integer(), 8)
        length = {0: None, 1: 8, 5: 4}.get(kind) if kind != 2 else integer()
        if kind == 0:
            yield number, integer()
        else:
            yield number, message[place : place + length]
            place += length
