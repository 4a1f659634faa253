r"""A question for a Keras layer that draws: what it computes is a text, the rest is the contract of every layer.

```python
Layer(
    "Reparameterize", "A Keras layer", points=5,
    takes="mean[N,D], log_variance[N,D]",
    draw=lambda rng: [dict(mean=rng.normal(size=(2, 3)), log_variance=rng.uniform(-2, 2, size=(2, 3)))],
    answer="return mean + ops.exp(log_variance / 2) * noise",
    hints="...",
    mistakes=[("no_mean", {"mean +": ""}, r"the mean is missing: draws are spread around 0, not around $\mu$.")],
)
```
"""

import functools
import re
import textwrap
from dataclasses import KW_ONLY, dataclass, field

import numpy as np

from vaekit.course.observe import Fault
from vaekit.course.questions.explain import CUT, Explanation
from vaekit.course.questions.language import Text
from vaekit.course.questions.question import Case, Mistake, Near, Observe, Question
from vaekit.course.questions.variants import variants

DRAWS = 20_000
STANDARD_ERRORS = 7.0  # a Gaussian is further from its mean with probability 2.6e-12; there are about 100 numbers
MEAN_TOLERANCE = STANDARD_ERRORS / DRAWS**0.5  # of a mean of DRAWS standard numbers
DEVIATION_TOLERANCE = MEAN_TOLERANCE / 2**0.5  # relative, of their standard deviation
RMS = ", root mean square"

CODE = """
class {name}(keras.layers.Layer):
    def __init__(self, seed=None{parameters}, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
{attributes}
    def call(self, inputs):
        {takes} = inputs
{locals}        noise = keras.random.normal(ops.shape({first}), seed=self.seed_generator)
{body}
    def get_config(self):
        return {{**super().get_config(), "seed": self.seed{config}}}
"""


@dataclass(eq=False)
class Layer(Question):
    """A random layer, $z = m + s ε$ with functions m and s of its inputs that work number by number.

    It takes `seed`, an int or None. Names, seeds, configs, symbols and the noise are looked at for every such layer,
    and what is wrong with them is explained without a word in the definition.

    Attributes:
        takes: what it is called with, "mean[N,D], log_variance[N,D]": one tensor, or a tuple of them, of one shape.
        draw: function of a NumPy generator: an iterable of dicts of inputs; D is at least 2.
        answer: the body of a function of the inputs and of `noise`, ε, as in `Function`; z is linear in ε.
        arguments: further arguments of its constructor, dict of numbers; the answer knows them by their names.
        mistakes: list of (name, edits of `answer`, message).
    """

    _: KW_ONLY
    takes: str
    draw: object
    answer: str
    arguments: dict = field(default_factory=dict)
    mistakes: list = ()
    requires_first: bool = False
    seconds: float = 60.0
    because: str = (
        f"{DRAWS:,} draws are looked at, and {STANDARD_ERRORS:g} standard errors allowed: in fewer than one check in a "
        "thousand million, chance alone makes a right layer look wrong."
    )

    leading_part = "spread"

    def __post_init__(self):
        super().__post_init__()
        self.names = [name for name, _ in re.findall(r"(\w+)\[([\w,]*)\]", self.takes)]
        self.text = Text(self.name, [*self.names, "noise", *self.arguments], self.answer)
        self.answer = None  # the solution's code has more methods than one
        self.parts = self.parts or {
            "rows": 1, "dimensions": 1, "calls": 1, "spread": 1.5, "kurtosis": 0.5, "centre": 1,
            **{f"gradient of {name}": 1 for name in self.names},
            "same seed": 0.5, "other seed": 0.5, "no seed": 0.5, "restored": 0.5, "in a model": 0.5,
        }  # fmt: skip
        self.observe = Observe("random_layer", {"takes": self.names, "draws": DRAWS})
        own = [self._mistake(*row) for row in self.mistakes]
        cut = [self._cut(name) for name in self.names]
        self.mistakes = [*cut, *own, *(self._common_mistake(*row) for row in COMMON_MISTAKES)]

    def draw_cases(self, rng):
        return [Case({**inputs, **self.arguments, "seed": int(rng.integers(1, 10**6))}) for inputs in self.draw(rng)]

    def part(self, case, observation):
        return observation.removesuffix(RMS)

    def expected(self, case):
        mean, spread, slopes = _moments(self.text, self.names, case.inputs)
        n = DRAWS * mean.size
        uncorrelated = Near(np.array(0.0), STANDARD_ERRORS / n**0.5)
        targets = {
            "rows": uncorrelated._replace(atol=STANDARD_ERRORS / (n / 2) ** 0.5),  # of rows half a batch apart, too
            "dimensions": uncorrelated._replace(atol=STANDARD_ERRORS / (DRAWS * len(mean)) ** 0.5),  # of two of them
            "calls": uncorrelated,
            "spread": Near(spread, 0.0, DEVIATION_TOLERANCE),
            # of n normal numbers it has the variance 24/n; twice the standard errors, since its tails are not normal
            "kurtosis": Near(np.array(3.0), 2 * STANDARD_ERRORS * (24 / n) ** 0.5),
            "centre": Near(mean, MEAN_TOLERANCE * spread),
        }
        for name, (constant, by_noise) in slopes.items():  # the gradient is constant + by_noise · ε
            targets[name] = Near(constant, 1e-4 + MEAN_TOLERANCE * np.abs(by_noise), self.rtol)
            targets[name + RMS] = Near(np.hypot(constant, by_noise), 1e-4, DEVIATION_TOLERANCE)
        same = {"same seed": 0.0, "other seed": uncorrelated, "no seed": uncorrelated, "restored": 0.0}
        return targets | same | {"in a model": np.array([5.0, mean.shape[1]])}

    def widened(self, observation, target, observed):
        """Widens the mean's tolerance to the spread of the draws, also where that spread is wrong."""
        spread = None if isinstance(observed, Fault) else observed.get("spread")
        if observation != "centre" or isinstance(spread, Fault) or np.shape(spread) != np.shape(target.value):
            return target
        return target._replace(atol=np.fmax(target.atol, MEAN_TOLERANCE * np.nan_to_num(spread, posinf=0.0)))

    def explained(self, inputs, observation, observed, target):
        if observation in CORRELATED and np.shape(observed) == ():
            return Explanation("correlated", CORRELATED[observation].format(float(observed)))
        return None

    def _mistake(self, name, edits, message):
        text = self.text.edited(edits)
        return Mistake(name, message, lambda **inputs: self.predict(text, inputs), self._code(text))

    def _cut(self, name):
        text = Text(self.name, self.text.arguments, f"{name} = ops.stop_gradient({name})\n{self.text.body}")
        observed = (f"gradient of {name}", f"gradient of {name}{RMS}")
        return Mistake("cut", CUT, lambda **inputs: dict.fromkeys(observed, 0 * inputs[name]), self._code(text))

    @functools.cached_property
    def variants(self):
        return variants(self.text)

    def predict(self, text, inputs):
        """Predicts noise that is wrongly stretched or shifted; what depends on chance otherwise is not compared."""
        (right, scale, _), (mean, spread, slopes) = (_moments(t, self.names, inputs) for t in (self.text, text))
        predictions = {"spread": spread}
        if np.isnan(spread).any():
            predictions |= dict.fromkeys(("rows", "dimensions", "calls", "kurtosis", *SEEDS), np.nan)
        chance = (spread > scale * 1.01).any()
        if not np.allclose(mean, right, equal_nan=False):
            predictions["centre"] = mean
        for name, (constant, by_noise) in slopes.items():
            predictions[name + RMS] = np.hypot(constant, by_noise)
            if not chance:
                predictions[name] = constant
        return predictions

    def _common_mistake(self, name, edits, message=None, predict=None):
        code = self._code(self.text)
        for old, new in edits.items():
            if old not in code:
                raise ValueError(f"{name}: {old!r} is not in\n{code}")
            code = code.replace(old, new)
        return Mistake(
            name, message, predict and (lambda **inputs: predict(_moments(self.text, self.names, inputs)[1])), code
        )

    def _code(self, text):
        """Returns a whole class whose `call` computes a text."""

        def lines(rows):
            return textwrap.indent("".join(f"{row}\n" for row in rows), " " * 8)

        return CODE.format(
            name=self.name,
            takes=", ".join(self.names),
            first=self.names[0],
            parameters="".join(f", {name}={value!r}" for name, value in self.arguments.items()),
            attributes=lines(f"self.{name} = {name}" for name in self.arguments),
            locals=lines(f"{name} = self.{name}" for name in self.arguments),
            body=lines(text.body.split("\n")),
            config="".join(f', "{name}": self.{name}' for name in self.arguments),
        )


def _moments(text, names, inputs):
    """Computes m, |s|, and for each input the gradient of Σz as a pair (a, b) of a + b·ε; each `[B, D]`."""
    inputs = {name: value for name, value in inputs.items() if name != "seed"}

    def linear(**moved):
        at = [text.run({**inputs, **moved, "noise": np.full_like(inputs[names[0]], e)})[0] for e in (0.0, 1.0)]
        return at[0], at[1] - at[0]

    mean, scale = linear()
    slopes = {}
    for name in names:
        step = 1e-6 * np.maximum(1, np.abs(inputs[name]))
        ends = [linear(**{name: inputs[name] + end}) for end in (step, -step)]
        slopes[f"gradient of {name}"] = tuple((high - low) / (2 * step) for high, low in zip(*ends, strict=True))
    return mean, np.abs(scale), slopes


CORRELATED = {  # what independent noise has not
    "rows": "the noise of two rows of a batch has the correlation {:.2f}; drawn for each row, it has 0.",
    "dimensions": "the noise of two dimensions has the correlation {:.2f}; drawn for each of them, it has 0.",
    "calls": "the noise of two calls has the correlation {:.2f}; drawn anew, it has 0.",
    "other seed": "the noise of layers with different seeds has the correlation {:.2f}, where it should have 0.",
    "no seed": "the noise of two layers without a seed has the correlation {:.2f}, where it should have 0.",
}
SEEDS = ("same seed", "other seed", "no seed", "restored")
# (name, edits of the code above, message, function that predicts); without the latter two the observer has a message
COMMON_MISTAKES = [
    (
        "uniform_noise",
        {"noise = keras.random.normal(": "noise = 3**0.5 * keras.random.uniform(minval=-1, maxval=1, shape="},
        "the noise is uniform: it has no tails. `keras.random.normal` draws from "
        r"$\mathcal N(0, 1)$.",
        lambda spread: {"kurtosis": 1.8},
    ),
    (
        "truncated_noise",
        {"random.normal": "random.truncated_normal"},
        "the noise is cut off at two standard deviations, as initializers like it: `keras.random.normal` draws from "
        r"$\mathcal N(0, 1)$.",
        lambda spread: {"kurtosis": 2.365, "spread": 0.8796 * spread},
    ),
    ("no_noise", {"self, inputs)": "self, inputs, training=False)", " noise = ": " noise = training * "}),
    ("one_noise_for_all_rows", {"ops.shape(": "(1, ops.shape(", ", seed=self": "[1]), seed=self"}),
    ("one_noise_for_all_dimensions", {"ops.shape(": "(ops.shape(", ", seed=self": "[0], 1), seed=self"}),
    ("same_noise_each_call", {"seed=self.seed_generator": "seed=self.seed"}),
    ("generator_in_call", {"seed=self.seed_generator": "seed=keras.random.SeedGenerator(self.seed)"}),
    (
        "numpy_noise",
        {"keras.random.normal(": "np.random.default_rng(self.seed).normal(size=", ", seed=self.seed_generator": ""},
    ),
    ("unseeded", {", seed=self.seed_generator": ""}),
    ("seed_ignored", {"Generator(seed)": "Generator()"}),
    ("seed_fixed", {"Generator(seed)": "Generator(42)"}),
    ("none_is_a_seed", {"Generator(seed)": "Generator(seed or 0)"}),
    (
        "global_seed",
        {"self.seed_generator = keras.random.SeedGenerator(seed)": "keras.utils.set_random_seed(seed or 0)",
         ", seed=self.seed_generator": ""},
    ),
    ("config_without_seed", {', "seed": self.seed': ""}),
    ("config_without_super", {"**super().get_config(), ": ""}),
    ("kwargs_lost", {"super().__init__(**kwargs)": "super().__init__()"}),
    ("no_kwargs", {", **kwargs)": ")", "(**kwargs)": "()"}),
]  # fmt: skip
