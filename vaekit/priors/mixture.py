"""A mixture of normals."""

import keras
from keras import ops

from vaekit.backend import integer_seed
from vaekit.batches import check_counts
from vaekit.distributions import NormalMixture
from vaekit.priors.prior import Prior


@keras.saving.register_keras_serializable("vaekit")
class MixtureOfNormals(Prior):
    r"""$p(z) = \sum_k \pi_k\, \mathcal N(z; \mu_k, \mathrm{diag}\,\sigma_k^2)$, learned.

    Args:
        components: K.
        learned_weights: learn π, which starts uniform; False: it stays 1/K.
        mean_scale: the means start as draws from $\mathcal N(0, \text{mean\_scale}^2)$; the σ start at 1.
        seed: integer for the start.

    Source: the "MoG" prior of Tomczak & Welling 2018, section 6.2.
    """

    def __init__(self, components, learned_weights=False, mean_scale=1.0, seed=None, event_shape=None, **kwargs):
        check_counts("MixtureOfNormals", components=components)
        self.components = int(components)
        self.learned_weights, self.mean_scale = bool(learned_weights), float(mean_scale)
        self.seed = None if seed is None else integer_seed(seed)
        super().__init__(event_shape, **kwargs)

    def build(self, input_shape):
        super().build(input_shape)
        shape = (self.components, *self.event_shape)
        start = keras.initializers.RandomNormal(stddev=self.mean_scale, seed=self.seed)
        self.mean = self.add_weight(shape=shape, initializer=start, name="mean")
        self.log_variance = self.add_weight(shape=shape, initializer="zeros", name="log_variance")
        if self.learned_weights:
            self.logits = self.add_weight(shape=(self.components,), initializer="zeros", name="logits")

    def distribution(self):
        self.shape  # noqa: B018, raises ValueError before it is built
        mean, scale = ops.convert_to_tensor(self.mean), ops.exp(self.log_variance / 2)
        logits = ops.convert_to_tensor(self.logits) if self.learned_weights else None
        return NormalMixture(mean, scale, logits)

    def get_config(self):
        names = ("components", "learned_weights", "mean_scale", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
