"""Configurations of networks whose layers are shared, and files of models."""

import contextlib
import copy
import inspect
import json
import random
import zipfile
from pathlib import Path

import keras
from keras.src.backend.common import global_state
from keras.src.saving.serialization_lib import ObjectSharingScope

CONFIGS, OBJECTS = "shared_objects/id_to_config_map", "shared_objects/id_to_obj_map"  # of Keras


@contextlib.contextmanager
def _sharing():
    """Keras' scope in which an object that is met twice stays one object, whether or not another one is open."""
    outer = {name: global_state.get_global_attribute(name) for name in (CONFIGS, OBJECTS)}
    try:
        with ObjectSharingScope():
            yield
    finally:
        for name, value in outer.items():
            global_state.set_global_attribute(name, value)


def serialize(networks):
    """Makes configurations of networks, from which `deserialize` makes networks that share what these share.

    Keras keeps an object shared if it meets the object itself before any other that contains it. So what is met twice
    comes first, once, and innermost first; everywhere else stands its index in this list, its `shared_object_id`.

    Returns: dict with `"layers"`, a list of configurations, and `"shared_layers"`, another, if anything is shared.
    """
    objects = {id(o): o for network in networks for layer in network._flatten_layers() for o in _with_operations(layer)}
    with _sharing():
        ids = _ids([keras.saving.serialize_keras_object(network) for network in networks])
        order = list(global_state.get_global_attribute(CONFIGS))  # of completion: parts before the whole
    # A functional network finds its layers' calls by number, which `_after` corrects once the layers are there.
    functional = [o for o in objects.values() if hasattr(o, "operations") and any(id(p) in ids for p in o.operations)]
    ids = ids | {id(o) for network in functional for o in (network, *network.operations)}
    indices = {key: index for index, key in enumerate(i for i in order if i in ids and i in objects)}
    with _sharing():
        shared = [keras.saving.serialize_keras_object(objects[key]) for key in indices]
        layers = [keras.saving.serialize_keras_object(network) for network in networks]
    shared = [{**_numbered(config, indices), "shared_object_id": index} for index, config in enumerate(shared)]
    return {"layers": _numbered(layers, indices), **({"shared_layers": shared} if shared else {})}


def deserialize(config, custom_objects=None):
    """Makes the networks of a configuration by `serialize`, or of one from before layers were shared below networks."""
    objects = []

    def make(part):
        return keras.saving.deserialize_keras_object(_after(objects, copy.deepcopy(part)), custom_objects)

    with _sharing():
        for part in config.get("shared_layers", ()):
            objects.append(make(part))
        return [make(part) for part in config["layers"]]


def _with_operations(layer):
    """A layer and the operations of a functional network."""
    return (layer, *getattr(layer, "operations", ()))


def _ids(config):
    """Collects all `shared_object_id` within a configuration."""
    if isinstance(config, dict):
        here = {config["shared_object_id"]} if "shared_object_id" in config else set()
        return here.union(*map(_ids, config.values()))
    return set().union(*map(_ids, config)) if isinstance(config, (list, tuple)) else set()


def _numbered(config, indices):
    """Replaces each `shared_object_id` of a configuration, an address in memory, by its index in the list.

    Ids that have no index are dropped.
    """
    if isinstance(config, dict):
        index = indices.get(config.get("shared_object_id"))
        numbered = {k: _numbered(v, indices) for k, v in config.items() if k != "shared_object_id"}
        return numbered if index is None else {**numbered, "shared_object_id": index}
    return type(config)(_numbered(c, indices) for c in config) if isinstance(config, (list, tuple)) else config


def _after(objects, config):
    """Corrects the configuration of a functional network with layers, in `objects`, that other networks have called.

    It counts a layer's calls from the first within the network, which come after those in other networks.
    """
    inner = config["config"]
    if not (isinstance(inner, dict) and {"layers", "input_layers", "output_layers"} <= set(inner)):
        return config
    calls = {
        layer["name"]: len(objects[layer["shared_object_id"]]._inbound_nodes)
        for layer in inner["layers"]
        if layer.get("shared_object_id", len(objects)) < len(objects) and layer.get("inbound_nodes")
    }

    def later(part):
        if isinstance(part, dict):
            return {name: later(value) for name, value in part.items()}
        if not isinstance(part, (list, tuple)):
            return part
        if len(part) == 3 and isinstance(part[0], str) and isinstance(part[1], int):  # layer, call, output
            return [part[0], part[1] + calls.get(part[0], 0), part[2]]
        return [later(value) for value in part]

    layers = [{**layer, "inbound_nodes": later(layer.get("inbound_nodes", []))} for layer in inner["layers"]]
    ends = {name: later(inner[name]) for name in ("input_layers", "output_layers")}
    return {**config, "config": {**inner, "layers": layers, **ends}}


def check_path(filepath, zipped):
    """Raises ValueError for a file that Keras would not open again."""
    path = str(filepath)
    if not hasattr(filepath, "write") and zipped is not False and not path.startswith("hf://"):
        if not path.endswith(".keras"):
            raise ValueError(
                f'A latent variable model is saved as a .keras file; received {path!r}. Say model.save("model.keras"), '
                'or, for the weights alone, model.save_weights("model.weights.h5"). Nothing was written.'
            )


STRUCTURE = {
    "layers",
    "shared_layers",
    "inference",
    "generative",
    "features",
}  # of a configuration: the rest are arguments


def check_class(model, base):
    """Raises ValueError for a subclass that could not be made from its configuration.

    Args:
        base: the class whose `from_config` is checked; a subclass's own is trusted.
    """
    kind = type(model)
    if kind.from_config.__func__ is not base.from_config.__func__:
        return
    arguments = dict.fromkeys((*model.arguments, *(set(model.get_config()) - STRUCTURE)))
    try:
        inspect.signature(kind).bind(None, None, **arguments)
    except TypeError as error:
        raise ValueError(
            f"{kind.__name__} could not be opened again: it is made from its parts and {tuple(arguments)}, which "
            f"its __init__ does not take ({error}). Define from_config, or an __init__ that takes them, or keep the "
            'weights alone, model.save_weights("model.weights.h5"). Nothing was written.'
        ) from None


def check_kept(model):
    """Raises ValueError if layers that are shared below the model's networks would not be so in a copy of it."""
    shared = _shared(model)
    if not shared or not model.built:
        return
    try:
        with _no_trace():  # a second copy of the weights, for a moment
            copy = type(model).from_config(model.get_config())
            copy.build_from_config(model.get_build_config())
            still_shared, count = _shared(copy), len(copy.weights)
    except Exception:  # for instance, classes that are registered when the file is loaded
        return
    if count > len(model.weights):
        lost = [name for name in shared if name not in still_shared] or list(shared)
        where = "; ".join(f"{name!r}, in {' and '.join(map(repr, shared[name]))}" for name in lost)
        raise ValueError(
            "This model could not be opened again: a copy made from its configuration shares no longer what the model "
            f"shares ({where}). Classes of your own have to list such a layer in get_config, by "
            "keras.saving.serialize_keras_object, and take it from there in from_config instead of making one anew. Or "
            'keep the weights alone, model.save_weights("model.weights.h5"), which the same code can load. Nothing was '
            "written."
        )


def check_layers(model):
    """Raises ValueError for a layer of one's own that could not be made again from its configuration."""
    layers = {id(layer): layer for network in model.networks for layer in network._flatten_layers()}
    for layer in layers.values():
        kind = type(layer)
        if kind.__module__.partition(".")[0] in ("keras", "vaekit"):
            continue
        try:
            with _no_trace():
                kind.from_config(layer.get_config())
        except TypeError as error:
            reason = str(error).rpartition("Exception encountered: ")[-1]  # Keras' text has the whole configuration
            raise ValueError(
                f"{kind.__name__} (layer {layer.name!r}) could not be made again from its configuration: {reason}. "
                "What its __init__ fixes has to leave get_config, or __init__ has to take it. Nothing was written."
            ) from None
        except Exception:  # for instance, parts that are registered when the file is loaded
            continue


@contextlib.contextmanager
def _no_trace():
    """A context for making copies: without weights of their own, and with the seeds that new layers draw put back."""
    state = random.getstate()
    try:
        with keras.StatelessScope():
            yield
    finally:
        random.setstate(state)


def _shared(model):
    """Finds layers with weights that are parts of several others: dict by name of these others' names."""
    parents, layers = {}, {id(layer): layer for network in model.networks for layer in network._flatten_layers()}
    for layer in layers.values():
        for part in layer._flatten_layers(include_self=False, recursive=False):
            parents.setdefault(id(part), []).append(layer.name)
    return {layers[i].name: names for i, names in parents.items() if len(names) > 1 and layers[i].variables}


def load(filepath, custom_objects=None, compile=True, safe_mode=True):
    """Opens a model saved by `model.save("file.keras")`, on either backend.

    As `keras.saving.load_model`, which opens these files too wherever vaekit has been imported.

    Args:
        filepath: of a `.keras` file.
        custom_objects: dict by name of classes that are not registered.
        compile, safe_mode: as for `keras.saving.load_model`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that is no model, or one with classes that are not known here.
    """
    path = Path(filepath)
    if not path.exists():
        remote = " It opens files on disk; keras.saving.load_model opens addresses." if "://" in str(filepath) else ""
        raise FileNotFoundError(f"vaekit.load finds no file {str(filepath)!r}.{remote}")
    configs = [] if path.is_dir() else _object_configs(_config(path))
    unknown = sorted({_name(config) for config in configs if not _is_known(config, custom_objects or {})})
    if unknown:
        raise ValueError(
            f"{str(path)!r} has classes that are not known here: {', '.join(unknown)}. Import the module that defines "
            "them, with @keras.saving.register_keras_serializable() above each, or pass "
            f"vk.load(path, custom_objects={{{unknown[0]!r}: {unknown[0]}}})."
        )
    return keras.saving.load_model(filepath, custom_objects, compile, safe_mode)


def _config(path):
    """Reads the configuration in a `.keras` file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        advice = 'Save models by model.save("model.keras").'
        if path.suffix == ".h5":
            advice = (
                "Weights alone are read by model.load_weights(path), into a model made by the code that made the saved "
                "one."
            )
        raise ValueError(f"{str(path)!r} is no .keras file, the kind that holds a whole model. {advice}") from error


def _object_configs(config):
    """Yields the configurations of all objects within a configuration."""
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str) and "config" in config and "registered_name" in config:
            yield config
        for value in config.values():
            yield from _object_configs(value)
    elif isinstance(config, list):
        for value in config:
            yield from _object_configs(value)


def _name(config):
    """The name of the class or function that a configuration is of."""
    return config["config"] if config["class_name"] == "function" else config["class_name"]


def _is_known(config, custom_objects):
    """Returns whether Keras will find the class or function that a configuration is of."""
    if (config.get("module") or "").split(".")[0] in ("keras", "builtins") or config["class_name"].startswith("__"):
        return True
    name = config["config"] if config["class_name"] == "function" else config["registered_name"]
    return keras.saving.get_registered_object(name, custom_objects) is not None
