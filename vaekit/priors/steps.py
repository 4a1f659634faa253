"""Priors of sequences of latents."""

import keras

from vaekit.batches import check_counts
from vaekit.layers.over_time import OverTime
from vaekit.priors.prior import Prior


@keras.saving.register_keras_serializable("vaekit")
class IndependentSteps(Prior):
    r"""The same prior at every step of a sequence: $p(z) = \prod_t p(z_t)$.

    ```python
    vk.Factor("z", vk.priors.IndependentSteps(vk.priors.StandardNormal()))
    ```

    Args:
        prior: of a step.
        known: number of steps at the beginning that are given, as for `vaekit.layers.TimeDistributed`.

    Raises:
        ValueError: what is no prior, or a number of steps below 0.
    """

    over_time = True

    def __init__(self, prior, known=0, event_shape=None, **kwargs):
        if not isinstance(prior, Prior):
            raise ValueError(f"IndependentSteps expects the prior of a step, of vaekit.priors; received {prior!r}.")
        check_counts("IndependentSteps", least=0, known=known)
        self.prior, self.known = prior, int(known)
        super().__init__(event_shape, **kwargs)

    def build(self, input_shape):
        if not self.prior.built:
            self.prior.build(input_shape[1:])
        super().build(input_shape)

    def distribution(self):
        return OverTime(self.prior.distribution(), self.shape[:1], self.known)

    def get_config(self):
        prior = keras.saving.serialize_keras_object(self.prior)
        return {**super().get_config(), "prior": prior, "known": self.known}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "prior": keras.saving.deserialize_keras_object(config["prior"])})
