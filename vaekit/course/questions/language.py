r"""Answers as texts, in the language that learners write: `ops.exp(mean)`. A mistake is an edit of such a text.

A text is run in NumPy's float64, where it is an oracle; in float32, which shows what is lost there; and, by
`keras.ops`, as an answer. `edited` makes mistakes of it, and `differentiate` its gradients.

```python
right = Text("scaled", ["x"], "return ops.sum(x * ops.exp(-x / 2), axis=-1)")
wrong = right.edited({"/ 2": ""})
right.run({"x": np.ones((1, 3))}), right.run({"x": np.ones((1, 3))}, np.float32)
differentiate(right, {"x": np.ones((1, 3))}, ["x"])
```
"""

import functools
import inspect
import math
import textwrap

import numpy as np
from scipy import special

LOG_2PI = math.log(2 * math.pi)


class Text:
    """A function as a text.

    Args:
        name: of the function.
        arguments: names of its arguments; "baseline=0.0" has a default value.
        body: its lines, Python that computes by `ops`, Keras' operations; `tfd.Normal` and `LOG_2PI` are there, too.
    """

    def __init__(self, name, arguments, body):
        self.name, self.arguments, self.body = name, tuple(arguments), inspect.cleandoc(body)

    def __str__(self):
        """Writes the function's code."""
        return f"def {self.name}({', '.join(self.arguments)}):\n{textwrap.indent(self.body, '    ')}\n"

    def edited(self, edits):
        """Returns the text with something changed.

        Args:
            edits: dict {old: new}, of which each `old` occurs once; or a new body, a text.

        Raises:
            ValueError: something to be replaced occurs not once.
        """
        if isinstance(edits, str):
            return Text(self.name, self.arguments, edits)
        body = self.body
        for old, new in edits.items():
            if body.count(old) != 1:
                raise ValueError(
                    f"{self.name}: an edit replaces {old!r}, which should occur once; it occurs {body.count(old)} "
                    f"times in\n{body}"
                )
            body = body.replace(old, new)
        return Text(self.name, self.arguments, body)

    def function(self, **namespace):
        """Compiles the text to a Python function, which finds `namespace` (such as `ops`) among its globals."""
        namespace = {"np": np, "LOG_2PI": LOG_2PI, **namespace}
        exec(self._code, namespace)
        return namespace[self.name]

    @functools.cached_property
    def _code(self):
        return compile(str(self), f"<{self.name}>", "exec")

    def run(self, inputs, dtype=np.float64):
        """Runs it in NumPy: returns a tuple of arrays, of that precision.

        Args:
            inputs: dict of arrays and numbers by argument.
            dtype: of the arrays and of all that is computed; numbers stay Python's.
        """
        return self._in_numpy(inputs, dtype)[1]()

    def _in_numpy(self, inputs, dtype):
        """Returns its `Operations`, and a function that runs it with some inputs exchanged."""
        ops = Operations(dtype)
        function = self.function(ops=ops, tfd=ops.distributions)

        def run(**changed):
            with np.errstate(all="ignore"):  # mistakes may well overflow
                result = function(**{name: ops.cast(value) for name, value in {**inputs, **changed}.items()})
            return tuple(np.asarray(value) for value in (result if isinstance(result, tuple) else (result,)))

        return ops, run


class Operations:
    """`keras.ops` in NumPy, in one precision.

    `stop_gradient` returns what it received in the first run while later runs, with inputs a little off, differ: so
    differences of outputs are those of a derivative that does not pass through it.
    """

    def __init__(self, dtype):
        self.dtype, self._frozen, self._replayed = dtype, [], None
        self.distributions = _Distributions(self)

    def __getattr__(self, name):
        function = _OPERATIONS.get(name) or getattr(np, name)
        return lambda *arguments, **options: self.cast(function(*arguments, **options))

    def cast(self, value, dtype=None):
        """Casts arrays of floats to this precision, to a `dtype` of floats those of whole numbers, too."""
        value = np.asarray(value, self.dtype) if str(dtype).startswith("float") else value
        if isinstance(value, (np.ndarray, np.floating)) and value.dtype.kind == "f":
            return value.astype(self.dtype)
        return tuple(map(self.cast, value)) if isinstance(value, tuple) else value

    def stop_gradient(self, value):
        if self._replayed is None:
            self._frozen.append(value)
            return value
        return next(self._replayed)

    def replay(self):
        """Holds values behind `stop_gradient` as they were in the first run; to be called before each further run."""
        self._replayed = iter(self._frozen)


class _Distributions:
    """The part of `tfd` that answers need."""

    def __init__(self, ops):
        self._ops = ops

    def Normal(self, loc, scale):  # noqa: N802
        return _Normal(loc, scale, self._ops.cast)


class _Normal:
    def __init__(self, loc, scale, cast):
        self.loc, self.scale, self.cast = loc, scale, cast

    def cdf(self, x):
        return self.cast(special.ndtr((x - self.loc) / self.scale))

    def log_cdf(self, x):
        return self.cast(special.log_ndtr((x - self.loc) / self.scale))

    def log_survival_function(self, x):
        return self.cast(special.log_ndtr((self.loc - x) / self.scale))

    def survival_function(self, x):
        return self.cast(special.ndtr((self.loc - x) / self.scale))

    def quantile(self, p):
        return self.loc + self.scale * self.cast(special.ndtri(p))

    def log_prob(self, x):
        return self.cast(-0.5 * (LOG_2PI + ((x - self.loc) / self.scale) ** 2) - np.log(self.scale))

    def prob(self, x):
        return np.exp(self.log_prob(x))


def _conv(x, kernel, padding="valid"):
    """Convolves images `[N, H, W, C]` with a kernel `[R, S, C, M]`, R and S odd where it is padded."""
    rows, columns = kernel.shape[:2]
    if padding == "same":
        x = np.pad(x, ((0, 0), (rows // 2, rows // 2), (columns // 2, columns // 2), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (rows, columns), axis=(1, 2))  # [N, H, W, C, R, S]
    return np.tensordot(windows, kernel, axes=((4, 5, 3), (0, 1, 2)))


_OPERATIONS = {  # those that NumPy has not, or by another name
    "conv": _conv,
    "convert_to_tensor": np.asarray,
    "erf": special.erf,
    "erfinv": special.erfinv,
    "log_sigmoid": lambda x: -np.logaddexp(0, -x),
    "logsumexp": special.logsumexp,
    "one_hot": lambda x, n: np.eye(n)[x],
    "relu": lambda x: np.maximum(x, 0),
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": special.expit,
    "slogdet": lambda x: tuple(np.linalg.slogdet(x)),
    "softmax": special.softmax,
    "softplus": lambda x: np.logaddexp(0, x),
    "solve": np.linalg.solve,
    "inv": np.linalg.inv,
}


def differentiate(text, inputs, of):
    """Differentiates the sums of what a text returns, by central differences in float64.

    Args:
        text: a `Text`.
        inputs: dict of arrays and numbers.
        of: names of the inputs.

    Returns: for each value that it returns a dict {input: gradient}, of the input's shape.
    """
    ops, run = text._in_numpy(inputs, np.float64)
    slopes = [{name: np.empty(np.shape(inputs[name])) for name in of} for _ in run()]
    for name in of:
        for i, value in enumerate(np.ravel(inputs[name]).astype(np.float64)):
            step = 1e-6 * max(1.0, abs(value))
            ends = []
            for end in (value + step, value - step):
                moved = np.array(inputs[name], dtype=np.float64)
                moved.flat[i] = end
                ops.replay()
                ends.append(run(**{name: moved}))
            with np.errstate(all="ignore"):
                for gradients, high, low in zip(slopes, *ends, strict=True):
                    gradients[name].flat[i] = np.sum(high - low) / (2 * step)  # what does not depend on it is 0
    return slopes
