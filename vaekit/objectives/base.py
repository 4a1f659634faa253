"""The base of all objectives, the schedule of β, and the terms that objectives report."""

import math
from dataclasses import asdict, dataclass
from numbers import Real

import keras
from keras import ops

from vaekit import backend
from vaekit.backend import tfd
from vaekit.batches import check_counts
from vaekit.objectives.state import deserialize, serialize


@keras.saving.register_keras_serializable("vaekit")
@dataclass
class WarmUp:
    r"""Linear warm-up of β: from `start` to `end` over the first `steps` training steps, then constant.

    The number of steps taken so far is a weight of the model, saved with it.

    Args:
        steps: number of gradient steps; for `e` epochs of N examples, e · ⌈N / batch_size⌉.
        start: β at the first step.
        end: β after `steps` steps.

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
        """β at a step."""
        progress = ops.minimum(ops.cast(step, "float32") / self.steps, 1.0)
        return self.start + (self.end - self.start) * progress

    def rises(self, step):
        """Whether β has not come to its end at a step, an int."""
        return step < self.steps

    def get_config(self):
        return asdict(self)

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable("vaekit")
@dataclass
class Cyclic:
    r"""Cyclic warm-up of β: again and again from `start` to `end`, over the first part of each period.

    Args:
        period: number of gradient steps of a cycle.
        rising: the part of a cycle in which β rises, at most 1; in the rest it is `end`.
        start: β at the beginning of each cycle.
        end: β in the rest.
        cycles: how many; afterwards β stays at `end`. None: for ever.

    Raises:
        ValueError: a period or a number of cycles that is not positive, a part that is none.

    Source: Fu et al. 2019.
    """

    period: int
    rising: float = 0.5
    start: float = 0.0
    end: float = 1.0
    cycles: int | None = None

    def __post_init__(self):
        if not (self.period > 0 and 0 < self.rising <= 1 and (self.cycles is None or self.cycles > 0)):
            raise ValueError(
                "Cyclic expects a positive period, rising in (0, 1], and cycles > 0 or None; received "
                f"period={self.period!r}, rising={self.rising!r}, cycles={self.cycles!r}."
            )

    def __call__(self, step):
        """β at a step."""
        step = ops.cast(step, "float32")
        progress = ops.minimum(ops.mod(step, self.period) / (self.rising * self.period), 1.0)
        if self.cycles is not None:
            progress = ops.where(step < self.cycles * self.period, progress, 1.0)
        return self.start + (self.end - self.start) * progress

    def rises(self, step):
        """Whether β is below its end at a step, an int."""
        over = self.cycles is not None and step >= self.cycles * self.period
        return not over and step % self.period < self.rising * self.period

    def get_config(self):
        return asdict(self)

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def beta_at(step, beta):
    """β at a step, a float32 scalar or a number, from a number, a `keras.Variable` or a schedule."""
    beta = beta(step) if callable(beta) else beta
    return beta if isinstance(beta, (int, float)) else ops.cast(beta, "float32")


class Objective:
    """Base of all objectives; a subclass defines `__call__`.

    An objective may hold variables (`keras.Variable`), as attributes or in its schedule: a model that is compiled with
    it saves them with its weights, does not train them, and follows what a callback assigns to them. Its numbers are
    constants of compiled programs: a change of one, between epochs, compiles anew.

    Args:
        samples: S (or k), samples of z for each example.
        beta: weight of the KL term in the loss: a number, a `keras.Variable`, or a function of the step such as
            `WarmUp`.
    """

    def __init__(self, samples=1, beta=1.0):
        check_counts(type(self).__name__, samples=samples)
        if not (callable(beta) or isinstance(beta, keras.Variable) or (isinstance(beta, Real) and beta >= 0)):
            raise ValueError(
                f"{type(self).__name__} expects beta to be a number of at least 0, a keras.Variable, or a schedule "
                f"such as vaekit.objectives.WarmUp(steps=10_000); got {beta!r}."
            )
        self.samples = int(samples)
        self.beta = beta

    def __call__(self, model, data, step, training):
        """Computes loss and terms of a batch.

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
        terms = ["bound"]
        for kind, names in {"reconstruction": model.observed, "kl": model.latents}.items():
            terms += [kind, *(f"{kind}_{name}" for name in names if len(names) > 1)] if names else []
        return terms

    def weight(self, step):
        """β at this step."""
        return beta_at(step, self.beta)

    def __repr__(self):
        arguments = (f"{name}={getattr(self, name, value)!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({', '.join(arguments)})"

    def get_config(self):
        return {"samples": self.samples, "beta": serialize(self.beta)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, **({"beta": deserialize(config["beta"])} if "beta" in config else {})})


def reconstructions(trace):
    """log p(x|z_s) of each observed variable at a trace's samples: dict of `[S, B]`."""
    return {name: value for name, value in trace.log_p.items() if name not in trace.log_q}


def log_mean_exp(x, axis):
    r"""$\log \frac1n \sum_i e^{x_i}$ along an axis of length n."""
    return ops.logsumexp(x, axis=axis) - math.log(x.shape[axis])


def total(values, weights=None):
    """Sums a dict of tensors, each times its weight, a dict of numbers by name; 1 where there is none."""
    weights = weights or {}
    return sum(weights[name] * value if name in weights else value for name, value in values.items())


def report(bound, reconstructions, kl):
    """Makes terms `[B]` of a bound `[B]`, and by variable of reconstructions `[S, B]` and KLs `[S, B]` or `[1, B]`.

    Several variables are reported one by one, too.
    """
    terms = {"bound": bound}
    for kind, values in {"reconstruction": reconstructions, "kl": kl}.items():
        if not values:  # no latents
            continue
        means = {name: ops.mean(value, axis=0) for name, value in values.items()}  # [B]
        terms[kind] = sum(means.values())
        terms |= {f"{kind}_{name}": mean for name, mean in means.items()} if len(means) > 1 else {}
    return terms


def require_reparameterized(trace, objective):
    """Raises ValueError where a sample does not move with its posterior's parameters."""
    for name, q in trace.q.items():
        if q.reparameterization_type != tfd.FULLY_REPARAMETERIZED:
            raise ValueError(
                f"The posterior of {name!r} ({q.name}) cannot be reparameterized, so the pathwise gradient of "
                f'{objective} would ignore part of it. Use ELBO(gradient="score_function"), VIMCO, ReweightedWakeSleep '
                "or a posterior such as vaekit.layers.DiagonalNormal."
            )


def sampled_kl(trace):
    """KL(q‖p) of each latent, estimated from each sample: log q(z_s|·) − log p(z_s|·), dict of `[S, B]`."""
    return {name: trace.log_q[name] - trace.log_p[name] for name in trace.log_q}


def same_noise(model):
    """Returns a seed, and a context in which a pass with it repeats the draws of one before it, layers' noise too."""
    seed = backend.seed(model.seed_generator)
    return seed, backend.Scope([(variable, ops.copy(variable)) for variable in model.variables])


def check_gradient(objective, gradient, known):
    """Returns the gradient's name; raises ValueError for an unknown one."""
    if gradient not in known:
        raise ValueError(f"{type(objective).__name__} expects gradient to be one of {known}; received {gradient!r}.")
    return gradient
