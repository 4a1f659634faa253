"""Observes priors that are made of the encoder's answers to pseudo-inputs."""

import json

import keras
import numpy as np

from vaekit import layers, models
from vaekit.backend import tfd, variables_gradient
from vaekit.course.observe import generators
from vaekit.course.observe.values import GLOBAL, Wrong, described, fault_or
from vaekit.priors import Prior

LOG_P, AFTER, RESTORED = "log density", "after a step", "restored"
WEIGHT = "pseudo_inputs"


def prior(answer, inputs):
    """Observes a class of priors in a model, whose encoder they share.

    Args:
        answer: the class; made by `answer(encoder, components)`, for an encoder that is built. In a model that is built
            it has a weight `pseudo_inputs`, `[components, pixels]`.
        inputs: dict of `pseudo_inputs`, `[K, P]`; codes `z`, `[B, D]`; `to_mean` and `to_log_variance`, `[P, D]`, the
            encoder's weights; and `later_mean` and `later_log_variance`, which it has afterwards.

    Returns: dict.
        - "log density": of the codes, `[B]`; "gradient of log density for pseudo_inputs": of its sum;
        - "after a step": the log-density when the model's encoder has the later weights;
        - "restored": the same in a model made from the first one's config, with its weights.
    """
    if not (isinstance(answer, type) and issubclass(answer, Prior)):
        what = f"`{answer.__name__}`, which does not derive from it" if isinstance(answer, type) else described(answer)
        raise Wrong(f"expected a class that is a `vk.priors.Prior`, received {what}.", "no_prior")
    (components, pixels), latents = inputs[WEIGHT].shape, inputs["z"].shape[1]
    z = keras.ops.convert_to_tensor(inputs["z"], "float32")
    encoder = keras.Sequential([layers.DiagonalNormal(latents)])
    encoder.build((None, pixels))
    decoder = keras.Sequential([layers.Bernoulli(pixels)])
    with generators.undisturbed(), generators.watched() as events:
        made = answer(encoder, components)
        if not hasattr(made, "built"):
            raise Wrong(
                "`__init__` does not call `super().__init__(**kwargs)`, which makes a layer of it. Call it first.",
                "no_layer",
            )
        model = models.VAE(encoder, decoder, prior=made, seed=0)
        try:
            model.build((None, pixels))
        except ValueError:
            if not made.built or made.event_shape is not None:
                raise
            raise Wrong(
                "`build` should call `super().build(shape)`, by which a prior learns its shape.", "no_build"
            ) from None
    made = model.prior
    if frozen := [each.path for each in encoder.weights if not each.trainable]:
        raise Wrong(
            f"the model's encoder cannot learn any more: `{frozen[0]}` is not trainable. The prior shares the encoder, "
            "and what it does to it is done to q(z|x).",
            "frozen",
        )
    weight = _weight(made, (components, pixels))
    _check_shared(model)
    at_first = keras.ops.convert_to_numpy(_log_p(made, z))
    weight.assign(inputs[WEIGHT].astype("float32"))
    _set(model, inputs["to_mean"], inputs["to_log_variance"])
    log_p = _log_p(made, z)
    if not np.allclose(
        *map(keras.ops.convert_to_numpy, (log_p, _log_p(made, z))), rtol=1e-3, atol=1e-3, equal_nan=True
    ):
        raise Wrong(
            "asked twice, `distribution` gives two densities: it is made of draws. The components' means are the "
            "encoder's, `q.mean()`.",
            "drawn",
        )
    scale = getattr(made.distribution(), "scale", 1.0)
    if keras.ops.is_tensor(scale) and keras.ops.convert_to_numpy(scale).min() < 0:
        raise Wrong(
            "some standard deviations of the components are below 0. Have means and standard deviations changed "
            "places? The means are the first.",
            "negative_width",
        )
    if np.array_equal(at_first, keras.ops.convert_to_numpy(log_p)):
        raise Wrong(
            "the density stays the same when the pseudo-inputs and the encoder get other weights. Was it computed "
            "once and kept? Then training changes the encoder, and the prior stays where the codes were. Encode the "
            "pseudo-inputs in `distribution`, each time it is called.",
            "computed_once",
        )
    observed = {GLOBAL: 1} if events["global state"] else {}
    observed |= {
        LOG_P: log_p,
        f"gradient of {LOG_P} for {WEIGHT}": fault_or(lambda: _slope(model, z), answer),
    }
    copy = fault_or(lambda: _copy(answer, model, pixels), answer, "made again from its config, a model")
    later = inputs["later_mean"], inputs["later_log_variance"]
    _set(model, *later)
    observed[AFTER] = fault_or(lambda: _log_p(made, z), answer)

    def restored():
        _set(copy, *later)
        again = _log_p(copy.prior, z)
        if copy.prior.name != made.name:
            raise Wrong(
                f"made again from its config, the prior `{made.name}` is called `{copy.prior.name}`: what every layer "
                "has, such as its name, is lost. Hand `**kwargs` to `super().__init__`, and add "
                "`super().get_config()` to the config.",
                "name_lost",
            )
        return again

    return observed | {RESTORED: fault_or(restored, answer) if isinstance(copy, models.VAE) else copy}


def _weight(made, shape):
    """The weight that holds the pseudo-inputs."""
    weight = getattr(made, WEIGHT, None)
    if not isinstance(weight, keras.Variable):
        raise Wrong(
            f"once the model is built, `self.{WEIGHT}` should be a weight; it is {described(weight)}. Make it in "
            f"`build`, by `self.add_weight`.",
            "no_weight",
        )
    if tuple(weight.shape) != shape:
        raise Wrong(
            f"`{WEIGHT}` should have the shape {shape}, [components, pixels]; it has {tuple(weight.shape)}.",
            "weights_shape",
        )
    if not any(weight is each for each in made.trainable_variables):
        raise Wrong(f"`{WEIGHT}` is not trainable: no gradient will change it.", "not_trainable")
    return weight


def _check_shared(model):
    """Refuses a prior with more weights than the pseudo-inputs and those of the model's encoder."""
    shared = (getattr(model.prior, WEIGHT), *model.encoder.weights)
    if own := [weight.path for weight in model.prior.weights if not any(weight is each for each in shared)]:
        raise Wrong(
            f"beside the pseudo-inputs the prior has weights of its own, `{own[0]}` among them. Is it an encoder of "
            "its own? A VampPrior has the model's: keep the object that `__init__` receives.",
            "own_encoder",
        )


def _set(model, to_mean, to_log_variance):
    """Gives the model's encoder weights; its biases are 0."""
    zeros = 0 * to_mean[0]
    model.encoder.set_weights([array.astype("float32") for array in (to_mean, zeros, to_log_variance, zeros)])


def _log_p(made, z):
    found = made.distribution()
    if not isinstance(found, tfd.Distribution):
        raise Wrong(f"`distribution` should return a distribution; it returned {described(found)}.", "no_distribution")
    if tuple(found.batch_shape):
        raise Wrong(
            f"`distribution` returned {found.batch_shape[0]} distributions, one for each pseudo-input. Asked for is "
            "one, their mixture: `vk.distributions.NormalMixture`.",
            "no_mixture",
        )
    return found.log_prob(z)


def _slope(model, z):
    weights = [getattr(model.prior, WEIGHT), *model.encoder.trainable_variables]
    slope, *others = variables_gradient(lambda: keras.ops.sum(_log_p(model.prior, z)), weights)[1]
    if any(other is None or not keras.ops.convert_to_numpy(other).any() for other in others):
        raise Wrong(
            "the prior's gradient does not reach the encoder. In a VampPrior it moves both, codes and components: the "
            "encoder learns from what it answers to pseudo-inputs, too.",
            "cut_encoder",
        )
    return slope


OPEN = (
    "made again from its config, the prior has a dict in the place of the encoder, as the config holds it. In "
    "`from_config`, `keras.saving.deserialize_keras_object` makes a network of it."
)


def _copy(answer, model, pixels):
    """Makes a model from another one's config, as a file holds it, with its weights."""
    config = json.loads(json.dumps(model.get_config()))
    with keras.saving.custom_object_scope({answer.__name__: answer}):
        try:
            copy = models.VAE.from_config(config)
        except (AttributeError, TypeError) as error:
            if "TrackedDict" not in str(error):
                raise
            raise Wrong(OPEN, "error") from None
        except ValueError as error:
            if "an encoder of its own" not in str(error):
                raise
            raise Wrong(
                "made again from its config, the prior has an encoder of its own beside the model's. Put "
                "`keras.saving.serialize_keras_object(self.encoder)` into the config, open it by "
                "`keras.saving.deserialize_keras_object`, and make no copy: then it is the model's again.",
                "error",
            ) from None
    copy.build((None, pixels))
    copy.set_weights(model.get_weights())
    return copy
