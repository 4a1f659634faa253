r"""Exercise 01: the reparameterization trick."""

import numpy as np

from vaekit.course.exercise import VALUE, Case, Diagnosis, Observe, Question

TITLE = "The reparameterization trick"


def _gaussian(mean, log_variance, noise):
    deviation = np.exp(0.5 * log_variance) * noise
    return {
        VALUE: mean + deviation,
        "gradient of mean": np.ones_like(mean),
        "gradient of log_variance": 0.5 * deviation,
    }


def _gaussian_with(scale, slope):
    """z = μ + s(λ) ε with another s, whose derivative is `slope`: what mistakes about λ = log σ² come to."""

    def wrong(mean, log_variance, noise):
        return {
            VALUE: mean + scale(log_variance) * noise,
            "gradient of mean": np.ones_like(mean),
            "gradient of log_variance": slope(log_variance) * noise,
        }

    return wrong


def _some_gaussians(rng):
    shapes = [(3, 2), (1, 5), (4,)]
    return [Case({name: rng.normal(size=shape) for name in ("mean", "log_variance", "noise")}) for shape in shapes]


QUESTIONS = [
    Question(
        name="gaussian_sample",
        title="A Gaussian, reparameterized",
        points=2,
        minutes=5,
        public=[
            Case(
                {
                    "mean": np.array([[0.0, 1.0], [-2.0, 0.5]]),
                    "log_variance": np.array([[0.0, 1.0], [-1.0, 2.0]]),
                    "noise": np.array([[1.0, -1.0], [0.5, 2.0]]),
                }
            )
        ],
        draw=_some_gaussians,
        expected=_gaussian,
        observe=Observe("gradients", {"of": ["mean", "log_variance"]}),
        diagnoses=[
            Diagnosis(
                "variance_for_deviation",
                "you multiplied the noise by the variance $e^{\\lambda}$; the noise is stretched by the standard "
                "deviation, $e^{\\lambda/2}$.",
                _gaussian_with(np.exp, np.exp),
            ),
            Diagnosis(
                "log_variance_for_deviation",
                "you multiplied the noise by the log-variance itself. It can be negative; take $e^{\\lambda/2}$.",
                _gaussian_with(lambda v: v, np.ones_like),
            ),
        ],
        hints=[
            "Stretch standard noise, then shift it.",
            "$\\sigma = e^{\\lambda/2}$ where $\\lambda = \\log \\sigma^2$.",
            "$z = \\mu + e^{\\lambda/2} \\varepsilon$.",
        ],
    ),
]
