"""Backends: one door, two rooms with the same names, no TensorFlow in the JAX one, equal numbers on both."""

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from oracles import binary_images, two_latents

from vaekit import backend

BLOCK_TENSORFLOW = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "tf_keras"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
"""


def python(code, backend_name, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": backend_name},
        cwd=os.path.dirname(__file__),
        capture_output=True,
        text=True,
        timeout=300,
    )


def names(room):
    """What a room defines for the door: functions with their arguments, and constants, by name."""
    found = {}
    for statement in ast.parse((Path(backend.__file__).parent / f"{room}.py").read_text()).body:
        if isinstance(statement, ast.FunctionDef):
            found[statement.name] = [ast.unparse(statement.args)]
        elif isinstance(statement, ast.Assign):
            found |= {target.id: None for target in statement.targets}
    return {name: arguments for name, arguments in found.items() if not name.startswith("_")}


@pytest.mark.once
def test_both_rooms_have_the_names_that_the_door_opens():
    assert names("tensorflow") == names("jax")
    opened = {
        node.attr
        for node in ast.walk(ast.parse(inspect.getsource(backend)))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "_implementation"
    }
    assert opened - {"tfp"} == set(names("jax"))


@pytest.mark.once
@pytest.mark.parametrize("name, message", [("numpy", "TensorFlow and JAX backends"), ("torch", "vaekit runs on")])
def test_other_backends_are_refused_by_name(name, message):
    result = python("import vaekit; vaekit.VAE", name)
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert message in last and "KERAS_BACKEND" in last and "JAX" in last


@pytest.mark.thorough
@pytest.mark.once
def test_start_is_quiet():
    """The other backend's, too: `test_both_backends_agree_and_jax_needs_no_tensorflow`."""
    result = python("import vaekit as vk; vk.datasets.load('digits'); print('ready')", keras.backend.backend())
    assert (result.stdout, result.stderr) == ("ready\n", "")


COMPARE = """
import sys, numpy as np, vaekit as vk, keras
from keras import ops
data = np.load(sys.argv[2])
model = keras.saving.load_model(sys.argv[1])
values = {k[2:]: ops.convert_to_tensor(v) for k, v in data.items() if k.startswith("v_")}

def numbers():
    log_p, log_q = model.log_p(values), model.log_q(values)
    _, gradient = vk.backend.variables_gradient(
        lambda: ops.sum(model.log_p(values) - model.log_q(values)), model.trainable_variables)
    return {"log_p": log_p, "log_q": log_q, **dict(zip(map(str, range(len(gradient))), gradient))}

found = vk.backend.compile(numbers, model.variables)()
np.savez(sys.argv[3], **{name: ops.convert_to_numpy(value) for name, value in found.items()},
         reconstruction=model.reconstruct(data["v_x"]), bound=model.evaluate(data["v_x"], verbose=0, seed=0)["bound"])
"""
ALONE = """
import oracles
model = oracles.small_vae(objective=vk.objectives.ELBO(analytic_kl=True))
x = oracles.binary_images()
model.fit(x, validation_data=x, verbose=0)
model.save(sys.argv[1])
model = keras.saving.load_model(sys.argv[1])
vk.evaluation.log_likelihood(model, x, samples=10, progress=False)
vk.inference.hmc(model, x[:2], samples=3, burn_in=3)
assert not any(m.split(".")[0] == "tensorflow" for m in sys.modules), "TensorFlow was imported"
print("trained")
"""


def test_a_word_that_comes_twice_has_one_gradient():
    table = keras.Variable(np.zeros((4, 2), "float32"))
    slopes = np.array([[1, 2], [3, -1], [1, 1]], "float32")  # of words 1, 1 and 2

    def loss():
        return ops.sum(ops.take(table, np.array([1, 1, 2]), axis=0) * slopes)

    gradient = backend.variables_gradient(loss, [table])[1]
    summed = np.array([[0, 0], [4, 1], [1, 1], [0, 0]], "float32")
    np.testing.assert_allclose(ops.convert_to_numpy(gradient[0]), summed)
    norm = np.sqrt(np.sum(summed**2))  # which clipping sees
    sgd = keras.optimizers.SGD(1.0, global_clipnorm=1.0)
    sgd.build([table])
    backend.apply_gradient(sgd, gradient, [table])
    np.testing.assert_allclose(ops.convert_to_numpy(table), -summed / norm, rtol=1e-5)


@pytest.mark.thorough
@pytest.mark.once
def test_both_backends_agree_and_jax_needs_no_tensorflow(other_backend, tmp_path, monkeypatch):
    model = two_latents("top-down")
    model.compile("sgd")
    x = binary_images()
    model.fit(x, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    trace = model.trace(x, 1, seed=0)
    z = {f"v_{name}": ops.convert_to_numpy(trace.values[name])[0] for name in model.latents}
    np.savez(tmp_path / "values.npz", v_x=x, **z)
    files = [str(tmp_path / name) for name in ("model.keras", "values.npz", "here.npz", "there.npz")]
    monkeypatch.setattr("sys.argv", ["", *files[:3]])
    exec(COMPARE, {})
    alone = other_backend == "jax"
    code, said = (BLOCK_TENSORFLOW + COMPARE + ALONE, "trained\n") if alone else (COMPARE, "")
    run = python(code, other_backend, *files[:2], files[3])
    assert (run.returncode, run.stdout, run.stderr) == (0, said, "")
    results = [np.load(path) for path in files[2:]]
    assert set(results[0]) == set(results[1])
    for key in set(results[0]) - {"bound"}:
        np.testing.assert_allclose(results[0][key], results[1][key], rtol=1e-4, atol=1e-5, err_msg=key)
    # the bound is estimated with other random numbers: equal within the noise of 64 one-sample estimates
    scatter = model.log_weights(x, 100).std(axis=0).mean() / np.sqrt(64)
    assert abs(results[0]["bound"] - results[1]["bound"]) < 6 * scatter


def test_seeds():
    tfd = backend.tfd
    normal = tfd.Normal(0.0, 1.0)
    draw = [float(normal.sample(seed=backend.seed(s))) for s in (1, 1, 2)]
    assert draw[0] == draw[1] != draw[2]
    generator = keras.random.SeedGenerator(0)
    assert float(normal.sample(seed=backend.seed(generator))) != float(normal.sample(seed=backend.seed(generator)))


def test_value_and_gradient():
    value, (a, b) = backend.value_and_gradient(lambda a, b: ops.sum(a * a * b), np.float32([1, 2]), np.float32([3, 4]))
    assert float(value) == 19
    np.testing.assert_allclose(ops.convert_to_numpy(a), [6, 16])
    np.testing.assert_allclose(ops.convert_to_numpy(b), [1, 4])


def test_compiled_functions_see_and_keep_variables():
    weight, counter = keras.Variable(2.0), keras.Variable(0)

    def step(x):
        counter.assign(counter + 1)
        return weight * x

    compiled = backend.compile(step, [weight, counter])
    assert float(compiled(ops.ones(()))) == 2
    weight.assign(5.0)
    assert float(compiled(ops.ones(()))) == 5
    assert int(counter) == 2


def test_dry_run_changes_nothing():
    counter = keras.Variable(0)
    backend.dry_run(lambda: counter.assign(counter + 1))
    assert int(counter) == 0
    with pytest.raises(ZeroDivisionError):
        backend.dry_run(lambda: 1 / 0)
