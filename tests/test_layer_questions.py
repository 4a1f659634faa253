"""Questions that ask for layers: what right ones earn, what wrong ones are told, and how rare false alarms are."""

import re

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

import vaekit as vk
from vaekit.backend import tfd
from vaekit.course.observe import observe
from vaekit.course.observe.random_layers import statistics
from vaekit.course.questions import DistributionLayer, Layer
from vaekit.course.questions.distribution_layer import SPREAD_TOLERANCE
from vaekit.course.questions.judge import judge
from vaekit.course.questions.layer import DRAWS, STANDARD_ERRORS

DRAWN = Layer(
    "Reparameterize",
    "A Keras layer",
    points=5,
    takes="mean[N,D], log_variance[N,D]",
    draw=lambda rng: [dict(mean=2 * rng.normal(size=(2, 3)), log_variance=rng.uniform(-2, 2, size=(2, 3)))],
    answer="return mean + ops.exp(log_variance / 2) * noise",
    mistakes=[
        ("variance_for_deviation", {" / 2": ""}, "the draws are spread by the variance."),
        ("log_variance_for_deviation", {"ops.exp(log_variance / 2)": "log_variance"}, "multiplied by log σ² itself."),
        ("root_of_log_variance", {"ops.exp(log_variance / 2)": "ops.sqrt(log_variance)"}, "the root of λ."),
        ("standard_noise", {"ops.exp(log_variance / 2) * noise": "noise"}, "the noise is added as it is."),
        ("no_mean", {"mean +": ""}, "the mean is missing."),
    ],
)
SCALED = Layer(
    "Blurred",
    "Another one, of one input and with an argument",
    points=1,
    takes="x[N,D]",
    arguments={"blur": 0.5},
    draw=lambda rng: [dict(x=rng.normal(size=(3, 2)))],
    answer="scaled = 2 * x\nreturn scaled + blur * x * noise",
)


def images(rng):
    def case(B, F, event):
        P = int(np.prod(event))
        inputs = dict(event_shape=event, features=rng.normal(size=(B, F)), x=rng.random((B, *event)))
        weights = dict(kernel=0.5 * rng.normal(size=(F, P)), bias=rng.normal(size=P), log_scale=rng.uniform(-1.5, -0.5))
        return inputs | weights

    return [case(4, 3, (2, 3, 2)), case(3, 2, (4, 3))]


IMAGE = DistributionLayer(
    "GaussianImage",
    "A layer whose output is a distribution",
    points=4,
    weights="kernel[F,P], bias[P], log_scale",
    draw=images,
    answer="""
        mean = ops.reshape(ops.sigmoid(ops.matmul(features, kernel) + bias), (-1, *event_shape))
        scale = ops.exp(log_scale)
        return mean, scale, -0.5 * (LOG_2PI + ((x - mean) / scale) ** 2) - ops.log(scale)
    """,
    mistakes=[
        ("log_variance", {"exp(log_scale)": "exp(log_scale / 2)"}, "used as a log-variance."),
        ("no_exponential", {"ops.exp(log_scale)": "log_scale"}, "used as it is."),
        ("no_sigmoid", {"ops.sigmoid(": "("}, "the mean is not bounded."),
    ],
)
IMAGE_CODE = """
class GaussianImage(keras.layers.Layer):
    def __init__(self, event_shape, **kwargs):
        super().__init__(**kwargs)
        self.event_shape = tuple(event_shape)

    def build(self, input_shape):
        pixels = int(np.prod(self.event_shape))
        self.kernel = self.add_weight(shape=(input_shape[-1], pixels), name="kernel")
        self.bias = self.add_weight(shape=(pixels,), name="bias")
        self.log_scale = self.add_weight(shape=(), name="log_scale")

    def call(self, inputs):
        mean = ops.sigmoid(ops.matmul(inputs, self.kernel) + self.bias)
        mean = ops.reshape(mean, (-1, *self.event_shape))
        normal = tfd.Normal(mean, ops.exp(self.log_scale))
        return tfd.Independent(normal, reinterpreted_batch_ndims=len(self.event_shape))

    def compute_output_spec(self, inputs):
        if not self.built:
            self.build(inputs.shape)
        return keras.KerasTensor((inputs.shape[0], *self.event_shape), dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "event_shape": self.event_shape}
"""


def verdict(question, code, last=True):
    """On a class given as code; on the last of the cases alone, which is enough to see what is wrong."""
    namespace = {"keras": keras, "np": np, "ops": ops, "tfd": tfd}
    exec(code, namespace)
    cases = question.cases(1)[-1 if last else 0 :]
    answer, (name, options) = namespace[question.name], question.observe
    return judge(question, cases, [observe(name, answer, case.inputs, options) for case in cases])


def changed(code, edits):
    for old, new in edits.items():
        assert old in code
        code = code.replace(old, new)
    return code


# ---- layers that draw


@pytest.mark.parametrize("question", [DRAWN, SCALED], ids=lambda question: question.name)
def test_a_right_layer_earns_everything(question):
    code = question._code(question.text)
    assert verdict(question, code, last=False).earned == question.points


@pytest.mark.thorough
@pytest.mark.alternate
@pytest.mark.parametrize("mistake", DRAWN.mistakes, ids=lambda mistake: mistake.name)
def test_every_mistake_is_told(mistake):
    found = verdict(DRAWN, mistake.code)
    assert found.diagnosis == mistake.name and found.share < 1, found
    told = next(part.message for part in found.parts if part.diagnosis == mistake.name)
    assert told == mistake.message if mistake.message else len(told) > 40  # the observer's own words


CODE = DRAWN._code(DRAWN.text)
GENERATOR = "self.seed_generator = keras.random.SeedGenerator(seed)"
NORMAL = "keras.random.normal(ops.shape(mean), seed=self.seed_generator)"
ODD = [  # (edits, name, part, what is said)
    ({"class Reparameterize(keras.layers.Layer)": "class Reparameterize"}, "no_layer", None, "does not derive from it"),
    ({NORMAL: "ops.exp(tau)"}, "error", None, "name 'tau' is not defined"),
    ({"return mean": "return 0.5 * mean"}, "variant", "centre", "the term with mean counts by half"),
    ({NORMAL: "ops.take(" + NORMAL + ", [0, 1, 0], axis=1)"}, "correlated", "dimensions", "the correlation 1.00"),
    ({NORMAL: "(ops.take(" + NORMAL + ", [0, 1, 0], axis=1) + " + NORMAL + ") / 2**0.5"},
     "correlated", "dimensions", "the correlation 0.50"),
    ({"return mean": "return ops.sum(mean", "* noise": "* noise, axis=-1)"}, "refused", None, "draws have the shape"),
    ({"inputs\n": "inputs\n        raise NotImplementedError()\n"}, "unanswered", None, "not answered yet."),
    ({'"seed": self.seed': '"seed": self.seed_generator'}, "error", "restored", "not JSON serializable"),
    ({'"seed": self.seed': '"seed": self.seed, "other": 1'}, "error", "restored", "get_config should return what"),
    ({"Generator(seed)": "Generator(seed and seed % 1000)"}, "", None, "Right."),
    ({"* noise": "* keras.ops.convert_to_tensor(np.asarray(noise))"}, "error", "in a model", "functional model"),
    ({GENERATOR: "self.rng = np.random.default_rng(seed)", NORMAL: "self.rng.normal(size=ops.shape(mean))",
      "* noise": '* ops.cast(noise, "float32")'}, "numpy_noise", "calls", "a constant from then on"),
    ({NORMAL: "np.random.normal(size=ops.shape(mean))", "* noise": '* ops.cast(noise, "float32")'},
     "numpy_noise", "calls", "a constant from then on"),
    ({GENERATOR: "np.random.seed(seed)"}, "error", None, "no attribute 'seed_generator'"),
    ({"super().__init__(**kwargs)": 'super().__init__(name="mine")'}, "kwargs_lost", "restored", "name='a_name'"),
]  # fmt: skip


@pytest.mark.alternate
@pytest.mark.parametrize(("edits", "name", "part", "says"), ODD)
def test_odd_layers(edits, name, part, says):
    found = verdict(DRAWN, changed(CODE, edits))
    parts = {p.name: p.diagnosis for p in found.parts if not p.right}
    assert says in str(found)
    assert (parts.get(part) if part else found.diagnosis) == name


def test_a_batch_of_unknown_size():
    found = verdict(DRAWN, changed(CODE, {"ops.shape(mean)": "mean.shape"}))
    if keras.backend.backend() == "tensorflow":  # JAX puts a number in its place
        assert "in a model: a functional model with the layer raised" in str(found) and "by ops.shape" in str(found)
    assert all(part.right for part in found.parts if part.name != "in a model")


def test_a_layer_leaves_random_numbers_alone():
    """So does its observation."""
    np.random.seed(3)
    expected = np.random.RandomState(3).random()
    verdict(DRAWN, CODE)
    verdict(DRAWN, CODE.replace(GENERATOR, "keras.utils.set_random_seed(seed or 0)").replace(NORMAL, "0 * mean"))
    assert np.random.random() == expected


@pytest.mark.once
def test_moments_are_those_of_the_formula():
    inputs = DRAWN.cases(0)[0].inputs
    mean, scale = inputs["mean"], np.exp(inputs["log_variance"] / 2)
    targets = DRAWN.targets(DRAWN.cases(0)[0])
    for name, value in {
        "centre": mean,
        "spread": scale,
        "gradient of mean": np.ones_like(mean),
        "gradient of log_variance": np.zeros_like(mean),
        "gradient of log_variance, root mean square": scale / 2,
    }.items():
        np.testing.assert_allclose(targets[name].value, value, atol=1e-8)


@pytest.mark.once
@pytest.mark.thorough
def test_false_alarms_are_rare():
    """Statistics of right draws, by NumPy, are as far from the expected ones as their standard errors say."""
    case = DRAWN.cases(0)[0]
    mean, scale = case.inputs["mean"], np.exp(case.inputs["log_variance"] / 2)
    targets, rng, far = DRAWN.targets(case), np.random.default_rng(0), {}
    for _ in range(120):
        first, second = (mean + scale * rng.normal(size=(DRAWS, *mean.shape)) for _ in range(2))
        for name, value in statistics(first, second).items():
            allowed = targets[name].atol + targets[name].rtol * np.abs(targets[name].value)
            far.setdefault(name, []).append(STANDARD_ERRORS * (value - targets[name].value) / allowed)
    assert set(far) == {"rows", "dimensions", "calls", "spread", "kurtosis", "centre"}
    expected = {  # the kurtosis is allowed twice as much; of several correlations the farthest from 0 is taken
        "kurtosis": 0.5,
        "rows": 1.3,
        "dimensions": 1.3,
    }
    for name, values in far.items():
        assert np.std(values) == pytest.approx(expected.get(name, 1), rel=0.25), name  # 4 standard errors of 120
        assert np.abs(values).max() < 5.5
    assert stats.norm.sf(STANDARD_ERRORS) * 2 * 100 < 1e-9


# ---- layers whose output is a distribution


INDEPENDENT = "tfd.Independent(normal, reinterpreted_batch_ndims=len(self.event_shape))"
KERNEL, BIAS = (line for line in IMAGE_CODE.split("\n") if "kernel =" in line or "bias =" in line)
IMAGE_MISTAKES = [  # (edits, name, part, what is said)
    ({INDEPENDENT: "normal"}, "not_summed", "shapes", "a batch of separate distributions"),
    ({"=len(self.event_shape)": "=1"}, "last_axis_only", "log_prob", "only the last axis is summed"),
    ({"ops.exp(self.log_scale)": "ops.exp(self.log_scale / 2)"}, "log_variance", "log_prob", "as a log-variance"),
    ({"ops.exp(self.log_scale)": "self.log_scale"}, "no_exponential", "log_prob", "used as it is"),
    ({"ops.sigmoid(": "("}, "no_sigmoid", "mean", "not bounded"),
    ({f"return {INDEPENDENT}": f"p = {INDEPENDENT}\n        p.sample = lambda n, seed=None: "
      "ops.broadcast_to(mean, (n, *mean.shape))\n        return p"}, "no_noise", "sample", "the draws have no noise"),
    ({f"return {INDEPENDENT}": "return mean"}, "no_distribution", None, "it returned a tensor of the shape (3, 4, 3)."),
    ({'shape=(), name="log_scale"': 'shape=(), name="log_scale", trainable=False'}, "not_trainable", "gradients",
     "should be trainable; only these are: kernel, bias."),
    ({'self.add_weight(shape=(), name="log_scale")': "0.0"}, "weights", None, "received kernel (2, 12), bias (12,)."),
    ({f"{KERNEL}\n{BIAS}": f"{BIAS}\n{KERNEL}"}, "weights_in_other_order", None, "the right ones in another order"),
    ({"compute_output_spec": "output_spec"}, "no_output_spec", "model", "Define compute_output_spec"),
    ({"(inputs.shape[0], *": "(inputs.shape[0], 1, *"}, "output_shape", "model", "expected (None, 4, 3)"),
    ({"dtype=self.compute_dtype": "dtype=self.no_dtype"}, "output_spec", "model", "compute_output_spec raised"),
    ({"        if not self.built:\n            self.build(inputs.shape)\n": "        raise NotImplementedError()\n"},
     "unanswered", "model", "not answered yet."),
    ({', "event_shape": self.event_shape': ""}, "config_without_event_shape", "config",
     "get_config() lacks event_shape"),
    ({"**super().get_config(), ": ""}, "config_without_super", "config", "another name or dtype"),
    ({"super().__init__(**kwargs)": "super().__init__()"}, "kwargs_lost", "config", "dtype='bfloat16'"),
    ({"event_shape, **kwargs)": "event_shape)", "(**kwargs)": "()"}, "no_kwargs", "config", "let it take **kwargs"),
    ({"(keras.layers.Layer)": "", "super().__init__(**kwargs)": "pass"}, "no_layer", None, "does not derive from it"),
    ({"mean = ops.reshape(mean, (-1, *self.event_shape))": "pass"}, "shape", "shapes",
     "the event shape of the distribution is (3, 12), expected (4, 3)."),
    ({"mean, ops.exp": "ops.stop_gradient(mean), ops.exp"}, "cut", "gradients",
     "gradient of kernel: the gradient is 0"),
]  # fmt: skip


def test_a_right_distribution_layer_earns_everything():
    assert verdict(IMAGE, IMAGE_CODE, last=False).earned == IMAGE.points


@pytest.mark.alternate
@pytest.mark.parametrize(("edits", "name", "part", "says"), IMAGE_MISTAKES)
def test_wrong_distribution_layers(edits, name, part, says):
    found = verdict(IMAGE, changed(IMAGE_CODE, edits))
    parts = {p.name: p.diagnosis for p in found.parts if not p.right}
    assert says in str(found)
    assert (parts[part] if part else found.diagnosis) == name
    assert not re.search(r"\b_[A-Z]", str(found))  # no private classes


def test_numpy_in_a_distribution_layer():
    found = verdict(IMAGE, IMAGE_CODE.replace("ops.exp(self.log_scale)", "np.exp(self.log_scale)"))
    wrong, model = (part for part in found.parts if not part.right)
    assert (wrong.name, model.name) == ("gradients", "model")
    assert "conversion to NumPy" in wrong.message or "NumPy cannot be differentiated" in wrong.message


@pytest.mark.once  # JAX compiles for each size
def test_a_distribution_layer_leaves_open_how_many_rows_there_are():
    found = verdict(IMAGE, IMAGE_CODE.replace("(-1, *self", "(inputs.shape[0], *self"))
    (wrong,) = (part for part in found.parts if not part.right)
    assert wrong.name == "model" and "None" in wrong.message


def test_a_distribution_layer_that_sets_a_global_seed_is_told_so():
    seeded = IMAGE_CODE.replace("        mean = ops.sigmoid", "        np.random.seed(1)\n        mean = ops.sigmoid")
    found = verdict(IMAGE, seeded, last=False)
    assert found.right and "changes the global random state" in repr(found)


@pytest.mark.once
def test_densities_are_scipys():
    for case in IMAGE.cases(3):
        given, right = case.inputs, {name: near.value for name, near in IMAGE.targets(case).items()}
        y = 1 / (1 + np.exp(-(given["features"] @ given["kernel"] + given["bias"])))
        y, scale = y.reshape(given["x"].shape), np.exp(given["log_scale"])
        log_p = stats.norm.logpdf(given["x"], y, scale).reshape(len(y), -1).sum(1)
        np.testing.assert_allclose(right["log_prob"], log_p)
        np.testing.assert_allclose(right["mean"], y)
        assert right["spread"] == pytest.approx(scale)
        assert tuple(right["event shape"]) == y.shape[1:] and tuple(right["batch shape"]) == y.shape[:1]


def test_gradients_are_those_of_vaekits_layer():
    """`vk.layers.Normal` is the same layer, written in another way."""
    given, right = (case := IMAGE.cases(0)[0]).inputs, IMAGE.targets(case)
    layer = vk.layers.Normal(tuple(given["event_shape"]), scale="shared", mean_activation="sigmoid")
    h, x = (ops.convert_to_tensor(given[name], "float32") for name in ("features", "x"))
    layer(h)
    weights = {name: next(w for w in layer.weights if w.path.endswith(name)) for name in IMAGE.names}
    for name, weight in weights.items():
        weight.assign(given[name])
    _, slopes = vk.backend.variables_gradient(lambda: ops.sum(layer(h).log_prob(x)), list(weights.values()))
    for name, slope in zip(weights, slopes, strict=True):
        np.testing.assert_allclose(slope, right[f"gradient of {name}"].value, rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.mark.once
def test_the_spread_of_draws_is_allowed_its_standard_errors():
    pixels = min(np.prod(case.inputs["event_shape"]) for case in IMAGE.cases(0))
    assert SPREAD_TOLERANCE >= 7 / np.sqrt(2 * 1000 * pixels)
