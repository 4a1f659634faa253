"""Observes training objectives that are functions of log-weights."""

import json

import keras
import numpy as np

from vaekit import layers, models
from vaekit.backend import value_and_gradient, variables_gradient
from vaekit.course.observe.values import Fault, Wrong, described, fault_or
from vaekit.objectives import Objective

BOUND = "bound"
BETA = 0.5
LATENTS = 2  # of the model that it is put into


def objective(answer, inputs, arguments):
    """Observes an objective's class, whose objects have a method `bound`.

    Args:
        answer: the class; it is made by `answer(samples, **arguments)`.
        inputs: dict of `log_weights`, `[k, B]`, the arguments, and perhaps `images`, `[N, D]`, of 0 and 1.
        arguments: names of further arguments of its constructor.

    Returns: dict.
        - "bound": of the log-weights; "gradient of bound for log_weights": of its sum;
        - "restored": by how much the bound of an objective made from the first one's config differs;
        - "in a model", with images: by how much the loss of a VAE under it differs, in the mean over the images,
          from minus the bound of the codes that it has drawn.
    """
    if not (isinstance(answer, type) and issubclass(answer, Objective)):
        what = f"`{answer.__name__}`, which does not derive from it" if isinstance(answer, type) else described(answer)
        raise Wrong(f"expected a class that is a `vk.objectives.Objective`, received {what}.", "no_objective")
    own = {name: inputs[name] for name in arguments}
    log_weights = keras.ops.convert_to_tensor(inputs["log_weights"], "float32")
    samples = len(log_weights)
    made = answer(samples, **own)
    if not callable(getattr(made, "bound", None)):
        raise Wrong("the objective has no method `bound`: derive it from `vk.objectives.IWAE`, which has one.")
    gradient = fault_or(
        lambda: value_and_gradient(lambda log_w: keras.ops.sum(made.bound(log_w)), log_weights)[1][0], answer
    )
    observed = {
        BOUND: made.bound(log_weights),
        f"gradient of {BOUND} for log_weights": gradient,
        "restored": fault_or(lambda: _differs(_copy(answer, samples, own), made, log_weights), answer),
    }
    if "images" in inputs:
        observed["in a model"] = fault_or(lambda: _in_a_model(made, samples, inputs["images"]), answer, "in a model it")
    return observed


def _handed_on(made, samples):
    """Refuses an objective that has not, or not rightly, been told how many samples it takes."""
    if not hasattr(made, "samples"):
        raise Wrong(
            "the objective has no number of samples, since `__init__` of the class that it derives from was not "
            "called: `super().__init__(samples, **kwargs)`.",
            "not_initialized",
        )
    if made.samples != samples:
        raise Wrong(
            f"an objective made with {samples} samples has {made.samples}: hand them on, by "
            "`super().__init__(samples, **kwargs)`.",
            "samples_lost",
        )


def _copy(answer, samples, own):
    """Makes an objective from another one's config, as a file holds it."""
    try:
        first = answer(samples, **own, beta=BETA)
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise Wrong(
            "`__init__` does not take `beta`, as every objective does: let it take `**kwargs`, and hand them on by "
            "`super().__init__(samples, **kwargs)`.",
            "no_kwargs",
        ) from None
    _handed_on(first, samples)
    if first.beta != BETA:
        raise Wrong(
            f"an objective made with `beta={BETA}` has another one: hand on what is not your own, by "
            "`super().__init__(samples, **kwargs)`.",
            "kwargs_lost",
        )
    config = json.loads(json.dumps(first.get_config()))
    missing = [name for name in own if name not in config]
    if missing:
        entries = ", ".join(f'"{name}": self.{name}' for name in missing)
        raise Wrong(
            f"`get_config()` lacks `{'`, `'.join(missing)}`, so a saved model comes back with another objective: "
            f"return `{{**super().get_config(), {entries}}}`.",
            f"config_without_{missing[0]}",
        )
    for name, value in own.items():
        if config[name] != value:
            raise Wrong(
                f"an objective made with `{name}={value:g}` says in `get_config()` that `{name}` is {config[name]!r}, "
                "and so does its copy.",
                "config_of_another",
            )
    made = answer.from_config(config)
    if (made.samples, made.beta) != (samples, BETA):
        raise Wrong(
            "an objective made again from `get_config()` has another number of samples, or another `beta`: let the "
            "config begin with `**super().get_config()`, which holds them.",
            "config_without_super",
        )
    return made


def _differs(one, other, log_weights):
    """Measures by how much two objectives' bounds differ at most."""
    return _largest(*(keras.ops.convert_to_numpy(made.bound(log_weights)) for made in (one, other)))


def _largest(a, b):
    """The largest difference; nan is the same as nan."""
    if a.shape != b.shape:
        return np.inf
    with np.errstate(all="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        return np.max(np.where(same, 0.0, np.abs(a - b)), initial=0.0)


def _in_a_model(made, samples, images):
    """Measures by how much a VAE's loss differs from minus the bound of its log-weights."""
    _handed_on(made, samples)
    encoder = keras.Sequential([layers.DiagonalNormal(LATENTS)])
    decoder = keras.Sequential([layers.Bernoulli(images.shape[1])])
    model = models.VAE(encoder, decoder, seed=0)
    data = model.observe(images.astype("float32"))

    def total():
        with model.seeded(1):
            found = made(model, data, step=0, training=True)
        if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], dict)):
            raise Wrong(f"called by a model, an objective returns a loss and a dict; received {described(found)}.")
        return keras.ops.sum(found[0])

    with model.seeded(1):
        log_weights = model.trace(data, made.samples).log_weights()
    loss, gradients = variables_gradient(total, model.trainable_variables)
    if not any(np.any(keras.ops.convert_to_numpy(gradient)) for gradient in gradients):
        return Fault("cut", "in a model its gradient is 0: nothing would be trained.")
    loss, expected = (
        keras.ops.convert_to_numpy(a) / len(images) for a in (loss, -keras.ops.sum(made.bound(log_weights)))
    )
    return _largest(loss, expected)
