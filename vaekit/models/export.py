"""Export of models as programs of tensors, which run without vaekit."""

import contextlib
import importlib.util
import logging

import keras
from keras import ops

from vaekit import backend
from vaekit.models.generate import decode
from vaekit.models.means import NoMeanError

FORMATS = ("tf_saved_model", "onnx")


def parts(model):
    """The parts of a model to export: dict by name of a function of tensors `[B, ...]` by variable, and their names."""

    def encoded(data):
        means = model.latent_values(data, True, model.seed_generator)
        return means if len(model.latents) > 1 else means[model.latents[0]]

    def decoded(values):
        _, means = decode(model, values, True, model.seed_generator)
        return means if len(model.observed) > 1 else means[model.observed[0]]

    return {
        "serve": (model.call, model.data_names),
        "encode": (encoded, model.data_names),
        "decode": (decoded, (*model.latents, *model.generative_conditions)),
    }


def export(model, filepath, format, part, verbose):
    """Exports a model, see `LatentVariableModel.export`."""
    model.require_built()
    if format not in FORMATS:
        raise ValueError(f"export writes the formats {FORMATS}; received {format!r}.")
    functions = parts(model)
    if part is not None and part not in functions:
        raise ValueError(f"The parts of a model that are exported are {tuple(functions)}; received {part!r}.")
    if format == "onnx" and part is None:
        raise ValueError(f"An ONNX file holds one function: say which, part= one of {tuple(functions)}.")
    needed = backend.ONNX if format == "onnx" else ("tensorflow",)
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        raise ImportError(f"Exporting to {format!r} needs the packages {', '.join(missing)}: pip install them.")
    functions = functions if part is None else {part: functions[part]}
    for name, (function, names) in functions.items():
        _check(model, name, function, names)

    endpoints = {name: _endpoint(model, function, names) for name, (function, names) in functions.items()}
    if format == "onnx":
        function, signature = endpoints[part]
        keras.Model.export(Exported(model, function), filepath, "onnx", verbose, input_signature=[signature])
        return
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, (function, signature) in endpoints.items():
        archive.add_endpoint(name, function, input_signature=[signature])
    with contextlib.nullcontext() if verbose else _without_notices():
        archive.write_out(filepath, verbose=verbose)


@contextlib.contextmanager
def _without_notices():
    """A context in which TensorFlow does not say where it writes."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _check(model, part, function, names):
    """Raises ValueError for a function that depends on more than its inputs."""
    changed = []

    def run():
        with backend.Scope() as scope:
            function({name: ops.zeros((1, *model.event_shapes[name]), "float32") for name in names})
        changed.extend(v.path for v, _ in scope.assigned.values())

    try:
        backend.dry_run(run)
    except NoMeanError:
        changed.append("a distribution without a mean in closed form")
    if changed:
        raise ValueError(
            f"{part!r} of this model cannot be exported, since it draws random numbers: a mean is not known in closed "
            "form, as in a PixelCNN, latents of a sequence are drawn step by step, each given those before, or weights "
            f"or a refinement of the posterior are random ({changed[0]}). "
            'Name a part that has a mean, such as part="encode". Nothing was written.'
        )


def _endpoint(model, function, names):
    """Returns a function of an array, or of a dict of several, and its input's specification."""
    specs = {name: keras.layers.InputSpec("float32", (None, *model.event_shapes[name]), name=name) for name in names}
    if len(names) == 1:
        return backend.by_row(lambda x: function({names[0]: x})), specs[names[0]]
    return backend.by_row(function), specs


class Exported(keras.Model):
    """A part of a model as a Keras model of its own."""

    def __init__(self, model, function):
        super().__init__()
        self.model, self.function = model, function
        self.built = True

    def call(self, x):
        return self.function(x)
