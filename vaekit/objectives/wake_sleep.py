"""The wake–sleep algorithm, and the reweighted one."""

import keras
from keras import ops

from vaekit.objectives.base import Objective, log_mean_exp, reconstructions, report, sampled_kl, total


def dream(model, data, n, training):
    """Dreams (x', z') ~ p, one for each of n examples; returns log q(z'|x') `[n]`."""
    conditions = {name: data[name] for name in model.conditions}
    values = {name: ops.stop_gradient(value) for name, value in model.draw(n, conditions).items()}
    return model.log_q(values, training=training)


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
        terms = report(ops.mean(trace.log_weights(), axis=0), reconstructions(trace), sampled_kl(trace))
        wake = ops.mean(total(trace.log_p, trace.weights), axis=0)  # log p(x, z), [B]
        sleep = dream(model, data, ops.shape(wake)[0], training)
        return -(wake + sleep), {**terms, "sleep": sleep}

    def get_config(self):
        return {"samples": self.samples}


@keras.saving.register_keras_serializable("vaekit")
class ReweightedWakeSleep(Objective):
    r"""Reweighted wake–sleep: wake–sleep with k samples and their importance weights, for latents of any kind.

    With $\hat w = w / \sum_k w$, $w = p(x, z) / q(z|x)$ at $z_1, …, z_k \sim q(z|x)$: p ascends
    $\sum_k \hat w_k \log p(x, z_k)$, the gradient of the `IWAE` bound $\mathcal L_k$, which is what is reported. The
    wake phase of q ascends $\sum_k \hat w_k \log q(z_k|x)$, down KL(p(z|x) ‖ q(z|x)) as far as the samples tell; its
    sleep phase $\log q(z'|x')$ at dreams (x', z') ~ p. No gradient passes through a sample, so that discrete latents
    are as good as any.

    Args:
        samples: k.
        sleep: the share of the sleep phase in q's gradient, from 0 (wake phase alone) to 1.

    Raises:
        ValueError: a share outside [0, 1].

    Source: Bornschein & Bengio 2015, section 3; Le et al. 2019.
    """

    def __init__(self, samples=5, sleep=0.0):
        super().__init__(samples)
        if not 0 <= sleep <= 1:
            raise ValueError(f"ReweightedWakeSleep expects sleep in [0, 1]; received {sleep!r}.")
        self.sleep = float(sleep)

    def terms(self, model):
        return [*super().terms(model), *(["sleep"] if self.sleep else [])]

    def __call__(self, model, data, step, training):
        trace = model.trace(data, self.samples, training=training, detach=True)
        log_w = trace.log_weights()  # [k, B]
        bound = log_mean_exp(log_w, axis=0)  # [B]
        terms = report(bound, reconstructions(trace), sampled_kl(trace))
        share = ops.stop_gradient(ops.softmax(trace.weighted(), axis=0))  # ŵ, [k, B]
        log_q = sum(trace.log_q.values())  # [k, B]
        loss = -ops.sum(share * (total(trace.log_p, trace.weights) + (1 - self.sleep) * log_q), axis=0)  # [B]
        if not self.sleep:
            return loss, terms
        sleep = dream(model, data, ops.shape(loss)[0], training)
        return loss - self.sleep * sleep, {**terms, "sleep": sleep}

    def get_config(self):
        return {"samples": self.samples, "sleep": self.sleep}
