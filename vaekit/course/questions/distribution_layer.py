r"""A question for a layer whose output is a distribution: its mean, spread and density are a text.

```python
DistributionLayer(
    "GaussianImage", "A layer whose output is a distribution", points=4,
    weights="kernel[F,P], bias[P], log_scale",
    draw=lambda rng: [dict(event_shape=(2, 3), features=..., x=..., kernel=..., bias=..., log_scale=...)],
    answer='''
        mean = ops.reshape(ops.sigmoid(ops.matmul(features, kernel) + bias), (-1, *event_shape))
        scale = ops.exp(log_scale)
        return mean, scale, -0.5 * (LOG_2PI + ((x - mean) / scale) ** 2) - ops.log(scale)
    ''',
    hints="...",
    mistakes=[("no_sigmoid", {"ops.sigmoid(": "("}, "the mean is not bounded: it goes through a sigmoid.")],
)
```
"""

import functools
import re
from dataclasses import KW_ONLY, dataclass

import numpy as np

from vaekit.course.questions.explain import OTHER, Explanation
from vaekit.course.questions.language import Text, differentiate
from vaekit.course.questions.question import Case, Mistake, Near, Observe, Prediction, Question
from vaekit.course.questions.variants import variants

SPREAD_TOLERANCE = 0.05
PARTS = {  # observation → part; all others are gradients
    "event shape": "shapes",
    "batch shape": "shapes",
    "log_prob": "log_prob",
    "mean": "mean",
    "draws": "sample",
    "spread": "sample",
    "log_prob in a model": "model",
    "log_prob of a copy": "config",
}

SAME = {
    "log_prob in a model": "in a model the layer gives other log-densities than by itself; they differ by up to {:.3g} "
    "nats.",
    "log_prob of a copy": "a layer made again from `get_config()`, with the same weights, gives other log-densities; "
    "they differ by up to {:.3g} nats.",
}

AXIS_MISTAKES = [  # (name, number of axes that are summed, message)
    (
        "not_summed",
        0,
        "the pixels are a batch of separate distributions, each with a log-density of its own. Wrap them in "
        "`tfd.Independent`, which declares the axes of an image to be one event and sums over them.",
    ),
    (
        "last_axis_only",
        1,
        "only the last axis is summed. `tfd.Independent` needs `reinterpreted_batch_ndims=len(event_shape)`.",
    ),
]


@dataclass(eq=False)
class DistributionLayer(Question):
    """A layer that maps features `[N, F]` to a `tfd.Distribution` over images of an event shape, independent pixels.

    Attributes:
        weights: names of its weights in their order, with shapes for the reader: "kernel[F,P], bias[P], log_scale".
        draw: function of a NumPy generator: an iterable of dicts, of `features`, `x` (images), the weights, and
            arguments of the constructor, one of which is `event_shape`. At least ten pixels, for the spread's sake.
        answer: the body of a function of all these that returns mean, standard deviation, and log-density of each
            pixel (not summed).
        mistakes: list of (name, edits of `answer`, message).
    """

    _: KW_ONLY
    weights: str
    draw: object
    answer: str
    mistakes: list = ()
    requires_first: bool = False
    seconds: float = 60.0
    because: str = (
        f"float32 carries seven digits. The spread of a thousand draws of ten pixels is off by 0.7 %; "
        f"{SPREAD_TOLERANCE:.0%} are allowed, seven standard errors."
    )

    leading_part = "mean"

    def __post_init__(self):
        super().__post_init__()
        self.names = re.findall(r"(\w+)(?:\[[\w,]*\])?", self.weights)
        self.parts = self.parts or {
            "shapes": 1, "log_prob": 2, "mean": 1, "sample": 1, "gradients": 1, "model": 1, "config": 1
        }  # fmt: skip
        arguments = list(next(iter(self.draw(np.random.default_rng(0)))))
        self.text = Text(self.name, arguments, self.answer)
        self.answer = None  # the solution's code has more methods than one
        self.observe = Observe("distribution_layer", {"weights": self.names})
        own = [self._mistake(*row) for row in self.mistakes]
        self.mistakes = [*own, *(self._axis_mistake(*row) for row in AXIS_MISTAKES)]

    def draw_cases(self, rng):
        return [
            Case({name: value if isinstance(value, str) else np.asarray(value) for name, value in inputs.items()})
            for inputs in self.draw(rng)
        ]

    def part(self, case, observation):
        return PARTS.get(observation, "gradients")

    def sizes(self, **inputs):
        return {"pixels": int(np.prod(inputs["x"].shape[1:])), "images": len(inputs["x"])}

    def expected(self, case):
        values = _computed(self.text, case.inputs) | _slopes(self.text, self.names, case.inputs)
        none = Near(np.array(0.0), 1e-3)
        return values | {"spread": Near(values["spread"], 0.0, SPREAD_TOLERANCE), **dict.fromkeys(SAME, none)}

    def _mistake(self, name, edits, message):
        text = self.text.edited(edits)
        return Mistake(name, message, lambda **inputs: self.predict(text, inputs))

    @functools.cached_property
    def variants(self):
        return variants(self.text)

    def predict(self, text, inputs):
        """Predicts what a mistake gives; of gradients, differences of nan predict nothing."""
        slopes = functools.cache(lambda: _slopes(text, self.names, inputs))

        def slope(name):
            return slopes()[name] if np.isfinite(slopes()[name]).all() else Prediction((), True)

        names = (f"gradient of {name}" for name in [*self.names, "features"])
        return _computed(text, inputs) | {name: functools.partial(slope, name) for name in names}

    def _axis_mistake(self, name, axes, message):
        shapes = ("event shape", "batch shape", "log_prob")
        return Mistake(
            name,
            message,
            lambda **inputs: {key: _computed(self.text, inputs, axes)[key] for key in shapes},
        )

    def explained(self, inputs, observation, observed, target):
        if observation in ("event shape", "batch shape", "draws"):
            received, expected = (tuple(int(n) for n in np.ravel(shape)) for shape in (observed, target.value))
            what = "shape of 1000 draws" if observation == "draws" else f"{observation} of the distribution"
            return Explanation("shape", f"the {what} is {received}, expected {expected}.")
        if observation in SAME and np.shape(observed) == ():
            return Explanation(OTHER, SAME[observation].format(float(observed)))
        return None


def _slopes(text, weights, inputs):
    slopes = differentiate(text, inputs, [*weights, "features"])[2]
    return {f"gradient of {name}": slope for name, slope in slopes.items()}


def _computed(text, inputs, axes=None):
    """Computes what a layer gives whose distribution is a text; the last `axes` of an image are its event."""
    mean, spread, pixels = text.run(inputs)
    event = mean.ndim - 1 if axes is None else axes
    batch = mean.ndim - event
    log_prob = pixels.sum(tuple(range(batch, pixels.ndim)))
    return {
        "event shape": mean.shape[batch:],
        "batch shape": mean.shape[:batch],
        "log_prob": log_prob,
        "mean": mean,
        "draws": (1000, *mean.shape),
        "spread": np.sqrt(np.mean(np.square(spread))),
        "log_prob in a model": 0.0,  # differences from the layer's own
        "log_prob of a copy": 0.0,
    }
