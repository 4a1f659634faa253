"""Full variational Bayes: a distribution over weights."""

import math

import keras
from keras import ops

from vaekit import backend


@keras.saving.register_keras_serializable("vaekit")
class VariationalWeights(keras.layers.Layer):
    r"""A network whose weights θ are random, with posterior $q(\theta) = \mathcal N(\mu, \mathrm{diag}\,\sigma^2)$ and
    prior $p(\theta) = \mathcal N(0, I)$.

    The network's own weights become the means μ; this layer adds a scale σ for each. Every call draws one
    $\theta = \mu + \sigma \odot \zeta$, $\zeta \sim \mathcal N(0, I)$, and runs the network with it. The exact
    $\mathrm{KL}(q(\theta) \| p(\theta)) / N$ joins the loss as a regularizer, so that with an ELBO as objective the
    loss is a bound on −log p(X)/N over weights and latents together.

    Args:
        network: a layer or model, for instance a whole decoder that ends in a distribution layer; its weights have
            their prior here, and need no regularizer.
        examples: N, the number of training examples.
        initial_scale: σ at the start.
        seed: integer for ζ.

    Source: Kingma & Welling 2014, appendix F.
    """

    def __init__(self, network, examples, initial_scale=0.01, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not (examples > 0 and initial_scale > 0):
            raise ValueError(
                f"VariationalWeights expects positive examples and initial_scale; got {examples}, {initial_scale}."
            )
        self.network, self.examples, self.initial_scale = network, examples, initial_scale
        self.seed_generator = backend.seed_generator(seed)

    def build(self, input_shape):
        if not self.network.built:
            self.network.build(input_shape)
        self.log_scales = [
            self.add_weight(
                shape=mean.shape,
                dtype=mean.dtype,
                initializer=keras.initializers.Constant(math.log(self.initial_scale)),
                name=f"log_scale_{i}",
                regularizer=lambda log_scale, mean=mean: ops.sum(_kl(mean, log_scale)) / self.examples,
            )
            for i, mean in enumerate(self.network.trainable_variables)
        ]

    def call(self, inputs, training=False):
        means, state = self.network.trainable_variables, self.network.non_trainable_variables
        theta = [
            ops.convert_to_tensor(mean)
            + ops.exp(log_scale) * keras.random.normal(mean.shape, dtype=mean.dtype, seed=self.seed_generator)
            for mean, log_scale in zip(means, self.log_scales, strict=True)
        ]
        mapping = [*zip(means, theta, strict=True), *((v, v.value) for v in state)]
        with backend.Scope(mapping) as scope:
            outputs = self.network(inputs, training=training)
        for variable in state:
            variable.assign(scope.get_current_value(variable))
        for loss in scope.losses:  # of activity regularizers, say
            self.add_loss(loss)
        return outputs

    def compute_output_spec(self, inputs, training=False):
        if not self.built:
            self.build(inputs.shape)
            self.built = True
        return self.network.compute_output_spec(inputs)

    def kl(self):
        r"""$\mathrm{KL}(q(\theta) \| p(\theta))$ of all weights together, in nats."""
        pairs = zip(self.network.trainable_variables, self.log_scales, strict=True)
        return sum(ops.cast(ops.sum(_kl(mean, log_scale)), "float32") for mean, log_scale in pairs)

    def get_config(self):
        return {
            **super().get_config(),
            "network": keras.saving.serialize_keras_object(self.network),
            "examples": self.examples,
            "initial_scale": self.initial_scale,
            "seed": self.seed_generator.get_config()["seed"],
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "network": keras.saving.deserialize_keras_object(config["network"])})


def _kl(mean, log_scale):
    """KL(N(μ, σ²) ‖ N(0, 1)) = ½ (μ² + σ² − 1) − log σ of each weight."""
    return (ops.square(mean) + ops.exp(2 * log_scale) - 1) / 2 - log_scale
