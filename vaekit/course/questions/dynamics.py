r"""A linear model of films, fitted by the answer: judged by log p(x) of films that it has not seen, exactly."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

import numpy as np

from vaekit.course.observe import Fault
from vaekit.course.questions.question import AtMost, Case, Observe, Question

TRANSPOSED = "`transition` seems to be transposed"
READINGS = {"log σ": lambda a: np.exp(2 * a), "σ²": lambda a: a, "σ": lambda a: a**2}
FEW = 60  # films by which values are read in other ways
OTHER_SIZES = 1 / 100, 1 / 20, 1 / 4, 4, 20, 100  # of a variance
ARRAYS = ["transition", "log_drift", "emission", "log_noise"]


@dataclass(eq=False)
class FittedDynamics(Question):
    r"""A function that fits $z_1 \sim \mathcal N(0, I)$, $z_t = A z_{t-1} + \varepsilon_t$, $x_t = C z_t + \eta_t$.

    It is called with films and a seed and returns A, the logarithms of the drifts' variances, C, and that of the noise.
    Others of the same kind are judged by the Kalman filter: how far, in nats a frame, $\log p(x)$ is below
    that of the process which made them.

    Attributes:
        gaps: dict: the most by part, from the largest to the smallest.
        process: function of a NumPy generator: A `[L, L]`, drifts' variances `[L]`, C `[D, L]`, the noise's variance.
        shape: of all films, (N, T, D); as many again are for judging.
        latents: how many it takes.
        most_latents: that an answer may have.
    """

    _: KW_ONLY
    gaps: dict
    process: Callable
    shape: tuple
    latents: int
    most_latents: int = 12
    requires_first: bool = False
    seconds: float = 180.0

    derives = fixed = True
    observe = Observe("call", {"names": ARRAYS, "told": ["films", "seed"]})

    def __post_init__(self):
        super().__post_init__()
        self.parts = self.parts or dict.fromkeys(self.gaps, 1)

    def draw_cases(self, rng):
        truth = self.process(rng)
        films, unseen = (simulated(rng, truth, self.shape) for _ in range(2))
        given = {"films": films, "seed": int(rng.integers(1000)), "unseen": unseen}
        return [Case(given | {"best": float(np.mean(log_p(unseen, *truth)) / self.shape[1])})]

    def expected(self, case):
        return {part: AtMost(nats, "nats a frame", of="below the best") for part, nats in self.gaps.items()}

    def derived(self, inputs, observations):
        """Computes how far log p(x) is below the best, and what advice is made of."""
        (given,), (observed,) = inputs, observations
        a, drift, c, noise = (observed.get(name, np.empty(0)) for name in ARRAYS)
        if wrong := self._wrong_shapes(a, drift, c, noise):
            return Fault("shapes", wrong)

        few = given["unseen"][:FEW]

        def mean(films, a, drift, c, noise):
            return np.mean(log_p(films, a, drift, c, noise)) / self.shape[1]

        with np.errstate(all="ignore"):
            as_it_is = a, np.exp(drift), c, np.exp(noise)
            reached = given["best"] - mean(given["unseen"], *as_it_is)
            best = np.nan_to_num(reached + mean(few, *as_it_is), nan=given["best"])  # of the few
            others = {}

            def gap(*values):
                return best - mean(few, *values)

            if not reached <= min(self.gaps.values()):
                others[TRANSPOSED] = gap(a.T, np.exp(drift), c, np.exp(noise))
                for name, read in READINGS.items():
                    others[f"Your second and your last value seem to be {name}"] = gap(a, read(drift), c, read(noise))
                    others[f"Your second value seems to be {name}"] = gap(a, read(drift), c, np.exp(noise))
                    others[f"Your last value seems to be {name}"] = gap(a, np.exp(drift), c, read(noise))
            scaled = {}
            for times in OTHER_SIZES if reached > max(self.gaps.values()) / 2 else ():
                scaled["drift", times] = gap(a, times * np.exp(drift), c, np.exp(noise))
                scaled["noise", times] = gap(a, np.exp(drift), c, times * np.exp(noise))
        turning = bool(np.abs(np.linalg.eigvals(a).imag).max(initial=0) > 0.05) if np.isfinite(a).all() else False
        read, scaled = (
            {name: np.nan_to_num(value, nan=np.inf) for name, value in each.items()} for each in (others, scaled)
        )
        return dict.fromkeys(self.gaps, reached) | {
            "reached": reached, "read": read, "scaled": scaled, "turning": turning, "latents": len(a),
            "moving": float(np.nan_to_num(np.abs(a).max(initial=0))),
        }  # fmt: skip

    def _wrong_shapes(self, a, drift, c, noise):
        """Names the shapes that are wrong, in a sentence; "" if none is."""
        if a.ndim != 2 or not 1 <= len(a) <= self.most_latents:
            return f"`transition` should have the shape [L, L], L at most {self.most_latents}; it has {a.shape}."
        latents, pixels = len(a), self.shape[2]
        right = {"transition": (latents,) * 2, "log_drift": (latents,), "emission": (pixels, latents), "log_noise": ()}
        wrong = [
            f"`{name}` should have the shape {right[name]}; it has {array.shape}"
            for name, array in zip(ARRAYS, (a, drift, c, noise), strict=True)
            if array.shape != right[name]
        ]
        return f"With a transition of {latents} latents, {', '.join(wrong)}." if wrong else ""

    def advice(self, observed, part):
        """Explains why a gap is too large, from what else was measured: (name, sentence)."""
        reached, read = observed["reached"], observed["read"]
        frames, time, velocity = sorted(self.gaps.values())[:-4:-1]
        best = min(read, key=read.get, default=TRANSPOSED)
        far = np.nan_to_num(reached, nan=np.inf)
        enough = velocity if best.startswith(("Your second value", "Your last value")) else time
        if read and read[best] < max(far - 0.3, far / 3) and -1 < read[best] < enough:
            if best == TRANSPOSED:
                return "transposed", (
                    f"{best}: so read, the gap is {read[best]:.2f}. $z_t = A z_{{t-1}}$ is `z @ A.T` for rows."
                )
            return "not_log_variance", (
                f"{best}: so read, the gap is {read[best]:.2f}. Asked for are logarithms of variances, "
                r"$\log\sigma^2$."
            )
        if not np.isfinite(reached):
            return "not_finite", "Some of the numbers are not finite, or so large that log p(x) is not. A smaller step?"
        if observed["latents"] < self.latents:
            return "few_latents", (
                f"There are {observed['latents']} latents. What swings has a place *and* a velocity, each of them a "
                f"number that the next frame depends on: two waves need {self.latents}."
            )
        if observed["moving"] < 0.1:
            return "no_time", (
                "The transition is nearly 0: each frame is new to your model, and what the frame before says is lost. "
                "Time is in $A$."
            )
        if not observed["turning"]:
            return "nothing_swings", (
                "All eigenvalues of your transition are real: what it describes fades, and nothing swings. Where is "
                "the velocity? Let latents turn into each other: start off the diagonal, too, from small random "
                "numbers, and train for longer."
            )
        scaled = observed["scaled"]
        part, times = min(scaled, key=scaled.get, default=("", 0))
        if scaled and -1 < scaled[part, times] < far / 2:
            size = "small" if times > 1 else "large"
            return "size", (
                f"It swings; but the variance of the {part} is too {size}. With {times:g} times as much, and all else "
                f"as it is, the gap would be {scaled[part, times]:.2f}. Is it learned with all others, for long enough?"
            )
        if reached > frames:
            return "apart", (
                f"It swings; but what can be had frame by frame, without any time, is {frames:g}. Do the four belong "
                "to each other, as they were at the end of training, of the same films?"
            )
        return "unfinished", (
            "It swings, and nothing that is looked for here is wrong. By gradients: train for longer, with a learning "
            "rate that is large at first and small in the end; and is the drift's variance learned, too? By algebra: "
            r"the model has $z_1 \sim \mathcal N(0, I)$. If the covariance that you found is another one, whiten: "
            "turn it into $I$, and $A$ and $C$ with it."
        )


def simulated(rng, process, shape):
    """Draws films `[N, T, D]`."""
    (n, frames, pixels), (a, drift, c, noise) = shape, process
    z, x = rng.normal(size=(n, len(a))), []
    for _ in range(frames):
        x.append(z @ c.T + noise**0.5 * rng.normal(size=(n, pixels)))
        z = z @ a.T + drift**0.5 * rng.normal(size=z.shape)
    return np.stack(x, axis=1)


def log_p(x, a, drift, c, noise):
    """log p(x) of films `[N, T, D]`, by the Kalman filter; all variances, no logarithms: `[N]`."""
    m, p, total = np.zeros((len(x), len(a))), np.eye(len(a)), 0.0
    if not (noise > 0 and np.all(drift >= 0)):  # nan among them
        return np.full(len(x), np.nan)
    for t in range(x.shape[1]):
        if t:
            m, p = m @ a.T, a @ p @ a.T + np.diag(drift)
        seen = c @ p @ c.T + noise * np.eye(len(c))  # the covariance of x_t, given the frames before
        if not np.isfinite(seen).all():
            return np.full(len(x), np.nan)
        off = x[:, t] - m @ c.T
        solved = np.linalg.solve(seen, np.concatenate([off.T, c @ p], axis=1))
        quadratic, gain = solved[:, : len(x)].T, solved[:, len(x) :].T
        total -= 0.5 * (np.sum(off * quadratic, axis=1) + np.linalg.slogdet(2 * np.pi * seen)[1])
        m, p = m + off @ gain.T, p - gain @ c @ p
    return total
