"""What all objectives share: the schedule of β, the base class, and the terms they report."""

from dataclasses import asdict, dataclass
from numbers import Integral

import keras
from keras import ops

from vaekit.backend import tfd


@keras.saving.register_keras_serializable("vaekit")
@dataclass
class WarmUp:
    r"""Linear warm-up of β: from `start` to `end` over the first `steps` training steps, then constant.

    The number of steps taken so far is a weight of the model, saved with it.

    Args:
        steps: number of gradient steps; for `e` epochs of N examples, e · ⌈N / batch_size⌉.

    Raises:
        ValueError: a number of steps that is not positive.

    Source: Bowman et al. 2016; Sønderby et al. 2016.
    """

    steps: int
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self):
        if not self.steps > 0:
            raise ValueError(f"WarmUp expects a positive number of steps; received {self.steps!r}.")

    def __call__(self, step):
        progress = ops.minimum(ops.cast(step, "float32") / self.steps, 1.0)
        return self.start + (self.end - self.start) * progress

    def get_config(self):
        return asdict(self)

    @classmethod
    def from_config(cls, config):
        return cls(**config)


class Objective:
    """Base of all objectives; a subclass defines `__call__`.

    Args:
        samples: S (or k), samples of z for each example.
        beta: weight of the KL term in the loss: a number, or a function of the step such as `WarmUp`.
    """

    def __init__(self, samples=1, beta=1.0):
        if not (isinstance(samples, Integral) and samples >= 1):
            raise ValueError(f"{type(self).__name__} expects samples to be an integer of at least 1; got {samples!r}.")
        if isinstance(beta, str) or not callable(beta) and not beta >= 0:
            raise ValueError(
                f"{type(self).__name__} expects beta to be a number of at least 0, or a schedule such as "
                f"vaekit.objectives.WarmUp(steps=10_000); got {beta!r}."
            )
        self.samples = int(samples)
        self.beta = beta

    def __call__(self, model, data, step, training):
        """Loss and terms of a batch.

        Args:
            model: a `LatentVariableModel`.
            data: dict of observed arrays `[B, ...]`.
            step: scalar, training steps taken so far.
            training: whether layers such as dropout are in training mode.

        Returns: loss `[B]`, and a dict of named terms `[B]` in nats, among them `"bound"`.
        """
        raise NotImplementedError

    def terms(self, model):
        """Names of the terms that `__call__` returns for this model, in the order of the progress bar."""
        latents = [f"kl_{name}" for name in model.latents] if len(model.latents) > 1 else []
        return ["bound", "reconstruction", "kl", *latents]

    def weight(self, step):
        """β at this step."""
        return self.beta(step) if callable(self.beta) else self.beta

    def get_config(self):
        return {"samples": self.samples, "beta": keras.saving.serialize_keras_object(self.beta)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "beta": keras.saving.deserialize_keras_object(config["beta"])})


def log_likelihood(trace, model):
    """log p(x|z_s), `[S, B]`."""
    return sum(trace.log_p[name] for name in model.observed)


def report(bound, reconstruction, kl):
    """Terms `[B]` from a bound `[B]`, reconstructions `[S, B]`, and KL divergences `[S, B]` or `[1, B]` by latent."""
    kl = {name: ops.mean(value, axis=0) for name, value in kl.items()}
    per_latent = {f"kl_{name}": value for name, value in kl.items()} if len(kl) > 1 else {}
    return {"bound": bound, "reconstruction": ops.mean(reconstruction, axis=0), "kl": sum(kl.values()), **per_latent}


def require_reparameterized(trace, objective):
    """Raises ValueError where a sample does not move with its posterior's parameters."""
    for name, q in trace.q.items():
        if q.reparameterization_type != tfd.FULLY_REPARAMETERIZED:
            raise ValueError(
                f"The posterior of {name!r} ({q.name}) cannot be reparameterized, so the pathwise gradient of "
                f'{objective} would ignore part of it. Use ELBO(gradient="score_function"), or a posterior such as '
                "vaekit.layers.DiagonalNormal."
            )


def sampled_kl(trace):
    """KL(q‖p) of each latent, estimated from each sample: log q(z_s|·) − log p(z_s|·), dict of `[S, B]`."""
    return {name: trace.log_q[name] - trace.log_p[name] for name in trace.log_q}


def choice(objective, gradient, known):
    """The gradient's name, if it is known."""
    if gradient not in known:
        raise ValueError(f"{type(objective).__name__} expects gradient to be one of {known}; received {gradient!r}.")
    return gradient
