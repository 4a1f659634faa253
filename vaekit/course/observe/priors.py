"""Observes priors that are made of the encoder's answers to pseudo-inputs."""

import json

import keras

from vaekit import layers, models
from vaekit.backend import variables_gradient
from vaekit.course.observe.values import Wrong, described, fault_or
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
    model = models.VAE(encoder, decoder, prior=answer(encoder, components), seed=0)
    model.build((None, pixels))
    made = model.prior
    _weight(made, (components, pixels)).assign(inputs[WEIGHT].astype("float32"))
    _check_shared(model)
    _set(model, inputs["to_mean"], inputs["to_log_variance"])
    observed = {
        LOG_P: made.distribution().log_prob(z),
        f"gradient of {LOG_P} for {WEIGHT}": fault_or(lambda: _slope(made, z), answer),
    }
    copy = fault_or(lambda: _copy(answer, model, pixels), answer, "made again from its config, a model")
    later = inputs["later_mean"], inputs["later_log_variance"]
    _set(model, *later)
    observed[AFTER] = fault_or(lambda: made.distribution().log_prob(z), answer)

    def restored():
        _set(copy, *later)
        return copy.prior.distribution().log_prob(z)

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


def _slope(made, z):
    weight = getattr(made, WEIGHT)
    return variables_gradient(lambda: keras.ops.sum(made.distribution().log_prob(z)), [weight])[1][0]


def _copy(answer, model, pixels):
    """Makes a model from another one's config, as a file holds it, with its weights."""
    config = json.loads(json.dumps(model.get_config()))
    with keras.saving.custom_object_scope({answer.__name__: answer}):
        copy = models.VAE.from_config(config)
    copy.build((None, pixels))
    own, others = len(copy.prior.weights), len(model.prior.weights)
    if len(copy.weights) != len(model.weights) or own != others:
        raise Wrong(
            "a model made again from its config has other weights than the first one: its prior has an encoder of its "
            'own, and the two no longer share one. Put `"encoder": keras.saving.serialize_keras_object(self.encoder)` '
            "into the config, and in `from_config` take it from there by `keras.saving.deserialize_keras_object`.",
            "not_shared",
        )
    copy.set_weights(model.get_weights())
    return copy
