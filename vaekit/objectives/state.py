"""What objectives and schedules hold: numbers, which compiled programs take for constant, and variables."""

import functools
import hashlib
import inspect
from numbers import Number

import keras
import numpy as np
from keras import ops


def read_state(*objects):
    """The settings and the variables that objects hold, in their attributes and in what their functions refer to.

    A function's closure and globals count, and so do lists, tuples, dicts and further objects inside.

    Returns: settings, a text that is another one after a change of any number, text or object held; and the list of
        `keras.Variable`s met.
    """
    settings, variables, seen = [], {}, {}

    def read(value):
        if isinstance(value, (Number, str, bytes, np.generic, type(None))):
            settings.append(repr(value))
        elif id(value) in seen:
            settings.append(f"again {list(seen).index(id(value))}")
        elif isinstance(value, keras.Variable):
            seen[id(value)] = value
            variables[id(value)] = value
            settings.append("variable")
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
            names = inspect.getclosurevars(value)
            plain = {name: v for name, v in names.globals.items() if not _is_code(v)}
            read((plain, dict(names.nonlocals), value.__defaults__, value.__kwdefaults__))
        elif isinstance(value, np.ndarray) and value.nbytes < 2**20:
            settings.append(hashlib.sha1(value.tobytes()).hexdigest())
        elif isinstance(value, (keras.layers.Layer, np.ndarray)) or ops.is_tensor(value) or _is_code(value):
            settings.append(str(id(value)))
        elif hasattr(value, "__dict__"):
            read((vars(type(value)).get("__call__"), vars(value)))

    for item in objects:
        read(item)
    return " ".join(settings), list(variables.values())


def _is_code(value):
    """Whether it is a module, a class, or a function of one's own or another's, rather than a value."""
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
