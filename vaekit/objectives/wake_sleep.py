"""The wake–sleep algorithm."""

import keras
from keras import ops

from vaekit.objectives.base import Objective, log_likelihood, report, sampled_kl


@keras.saving.register_keras_serializable("vaekit")
class WakeSleep(Objective):
    r"""The wake–sleep algorithm, the baseline of Kingma & Welling.

    Wake: draw z ~ q(z|x) and ascend $\log p(x, z)$ in the generative weights. Sleep: dream (x', z') ~ p and ascend
    $\log q(z'|x')$ in the inference weights. Both are one loss here, since each weight has a gradient in one of the
    two terms only; they do not ascend one common bound. (A layer that p and q share, as in a VampPrior, would have one
    in both. Batch normalization sees data and dreams.)

    Args:
        samples: samples of z for each example in the wake phase.

    Source: Hinton et al. 1995.
    """

    def __init__(self, samples=1):
        super().__init__(samples)

    def terms(self, model):
        return [*super().terms(model), "sleep"]

    def __call__(self, model, data, step, training):
        trace = model.trace(data, self.samples, training=training, detach=True)
        terms = report(ops.mean(trace.log_weights(), axis=0), log_likelihood(trace, model), sampled_kl(trace))
        wake = ops.mean(sum(trace.log_p.values()), axis=0)  # log p(x, z), [B]
        conditions = {name: data[name] for name in model.conditions}
        n = ops.shape(wake)[0]
        dream = {name: ops.stop_gradient(value) for name, value in model.draw(n, conditions).items()}
        sleep = model.log_q(dream, training=training)  # log q(z'|x'), [B]
        return -(wake + sleep), {**terms, "sleep": sleep}

    def get_config(self):
        return {"samples": self.samples}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
