"""The state of objectives and schedules: numbers, which compiled programs take for constant, and variables."""

import functools
import hashlib
import inspect
from numbers import Number
from types import CellType, CodeType

import keras
import numpy as np
from keras import ops


def read_state(*objects):
    """Collects the settings and variables of objects, in their attributes and in what their functions refer to.

    A function's closure and globals count, and so do lists, tuples, dicts and further objects inside.

    Returns: settings, a text that differs after a change of any number, text or object; list of `keras.Variable`s; list
        of layers.
    """
    settings, variables, layers, seen = [], {}, [], {}

    def read(value):
        if isinstance(value, (Number, str, bytes, np.generic, type(None))):
            settings.append(repr(value))
        elif id(value) in seen:
            settings.append(f"again {list(seen).index(id(value))}")
        elif isinstance(value, keras.Variable):
            seen[id(value)] = value
            variables[id(value)] = value
            settings.append(f"variable {id(value)}")
        else:
            seen[id(value)] = value
            read_inside(value)

    def read_inside(value):
        settings.append(f"{type(value).__qualname__} {id(type(value))}")
        if isinstance(value, dict):
            for key, part in value.items():
                settings.append(repr(key))
                read(part)
        elif isinstance(value, (list, tuple, set, frozenset)):
            for part in value:
                read(part)
        elif isinstance(value, functools.partial):
            read((value.func, value.args, value.keywords))
        elif inspect.ismethod(value):
            read((value.__func__, value.__self__))
        elif inspect.isfunction(value):
            settings.append(str(id(value.__code__)))
            cells = [cell.cell_contents for cell in value.__closure__ or () if cell != CellType()]
            used = [value.__globals__[name] for name in _names(value.__code__) if name in value.__globals__]
            used = [v for v in used if not _is_code(v) or getattr(v, "__module__", 0) == value.__module__]
            read((used, cells, value.__defaults__, value.__kwdefaults__))
        elif isinstance(value, np.ndarray) and value.nbytes < 2**20:
            settings.append(hashlib.sha1(value.tobytes()).hexdigest())
        elif isinstance(value, (keras.layers.Layer, np.ndarray)) or ops.is_tensor(value) or _is_code(value):
            settings.append(str(id(value)))
            if isinstance(value, keras.layers.Layer):
                layers.append(value)
        else:
            slots = [getattr(value, name, None) for name in getattr(type(value), "__slots__", ())]
            read((vars(type(value)).get("__call__"), getattr(value, "__dict__", {}), slots))

    for item in objects:
        read(item)
    return " ".join(settings), list(variables.values()), layers


def _names(code):
    """Lists global names in a function's code, and in that of functions within."""
    return sorted(set(code.co_names).union(*(_names(c) for c in code.co_consts if isinstance(c, CodeType))))


def _is_code(value):
    """Returns whether an object is a module, a class or a function, rather than a value."""
    return inspect.ismodule(value) or inspect.isclass(value) or inspect.isroutine(value)


def serialize(schedule):
    """The configuration of a number, a schedule, or a `keras.Variable`, whose value now it keeps."""
    if isinstance(schedule, keras.Variable):
        return {"variable": float(ops.convert_to_numpy(schedule)), "dtype": schedule.dtype}
    return keras.saving.serialize_keras_object(schedule)


def deserialize(config):
    """A number, a schedule, or a variable from its configuration."""
    if isinstance(config, dict) and "variable" in config:
        return keras.Variable(config["variable"], trainable=False, dtype=config["dtype"])
    return keras.saving.deserialize_keras_object(config)
