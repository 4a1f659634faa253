"""Exported programs give the model's numbers where vaekit and Keras are not."""

import importlib.util
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops
from oracles import binary_images, small_vae

import vaekit as vk
from vaekit.layers import (
    MLP,
    Autoregressive,
    Bernoulli,
    Categorical,
    DiagonalNormal,
    DiscretizedLogisticMixture,
    MaskedConv2D,
    Normal,
    VariationalWeights,
)

tensorflow = pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="needs TensorFlow")
X = binary_images(7)
OPEN = """
import sys
import numpy as np
import tensorflow as tf

for folder in sys.argv[1:]:
    model, files = tf.saved_model.load(folder), {}
    for name in ("serve", "encode", "decode"):
        inputs = dict(np.load(f"{folder}/{name}.npz"))
        outputs = getattr(model, name)(inputs if len(inputs) > 1 else next(iter(inputs.values())))
        signature = model.signatures[name](**{k: tf.constant(v) for k, v in inputs.items()})
        np.testing.assert_array_equal(tf.nest.flatten(outputs)[0], signature[sorted(signature)[0]])
        np.savez(f"{folder}/{name}_out.npz", **(outputs if isinstance(outputs, dict) else {"only": outputs}))
assert "vaekit" not in sys.modules
"""


def conditional():
    """p(z) p(w|z) p(x|z, y) p(t|w), with q(z|x, y) q(w|z)."""

    def joined(a, b, head):
        inputs = [keras.Input(a), keras.Input(b)]
        return keras.Model(
            inputs, head(MLP(8)(keras.layers.Concatenate()([keras.layers.Flatten()(t) for t in inputs])))
        )

    def single(size):
        return keras.Sequential([MLP(8), DiagonalNormal(size)])

    F, normal = vk.Factor, vk.priors.StandardNormal()
    p_x = F("x", joined((2,), (3,), Bernoulli((4, 4, 1))), given=("z", "y"))
    p = [F("z", normal), F("w", single(3), given="z"), p_x, F("t", single(5), given="w")]
    q = [F("z", joined((4, 4, 1), (3,), DiagonalNormal(2)), given=("x", "y")), F("w", single(3), given="z")]
    return vk.LatentVariableModel(p, q)


Y = np.eye(3, dtype="float32")[np.arange(7) % 3]
T = np.random.default_rng(0).normal(size=(7, 5)).astype("float32")
MODELS = {
    "VAE": (small_vae, X),
    "several": (conditional, {"x": X, "y": Y, "t": T}),
}


@pytest.mark.thorough
@tensorflow
def test_exported_programs_give_the_models_numbers(tmp_path):
    expected = {}
    for name, (make, x) in MODELS.items():
        model = make()
        model.compile("adam")
        model.fit(x, verbose=0)  # after which Keras' own export knew no signature
        folder = tmp_path / name
        model.export(folder)
        z = model.encode(x)
        values = {**(z if isinstance(z, dict) else {"z": z}), **({"y": Y} if model.conditions else {})}
        data = x if isinstance(x, dict) else {"x": x}
        decoded = model.decode(values if len(values) > 1 else z)
        for part, inputs, outputs in (
            ("serve", data, model.reconstruct(x)),
            ("encode", data, z),
            ("decode", values, decoded),
        ):
            np.savez(folder / f"{part}.npz", **inputs)
            expected[folder / f"{part}_out.npz"] = outputs if isinstance(outputs, dict) else {"only": outputs}
    command = [sys.executable, "-c", OPEN, *(str(tmp_path / name) for name in MODELS)]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=300)
    for path, outputs in expected.items():
        found = np.load(path)
        assert set(found) == set(outputs)
        for name, value in outputs.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5, err_msg=str(path))


def pixelcnn():
    decoder = Autoregressive([MaskedConv2D(3, mask="A"), Bernoulli((4, 4, 1))])
    return vk.VAE(keras.Sequential([MLP(8), DiagonalNormal(2)]), decoder)


def refined():
    model = small_vae()
    return vk.VAE(model.encoder, model.decoder, refinement=vk.inference.Refinement(2))


def random_weights():
    model = small_vae()
    return vk.VAE(model.encoder, VariationalWeights(model.decoder, 100))


@pytest.mark.parametrize(
    "make, part", [(pixelcnn, "decode"), (pixelcnn, None), (refined, None), (random_weights, None)]
)
def test_what_draws_random_numbers_is_refused_before_anything_is_written(make, part, tmp_path):
    model = make()
    model.build((None, 4, 4, 1))
    with pytest.raises(ValueError, match="cannot be exported, since it draws random numbers.*part="):
        model.export(tmp_path / "folder", part=part)
    assert not (tmp_path / "folder").exists()


@pytest.mark.once
def test_export_says_what_it_takes(tmp_path, monkeypatch):
    model = small_vae()
    with pytest.raises(ValueError, match="shape of its data"):
        model.export(tmp_path / "folder")
    model.build((None, 4, 4, 1))
    with pytest.raises(ValueError, match="'tf_saved_model', 'onnx'.*'tflite'"):
        model.export(tmp_path / "folder", format="tflite")
    with pytest.raises(ValueError, match="'serve', 'encode', 'decode'.*'prior'"):
        model.export(tmp_path / "folder", part="prior")
    with pytest.raises(ValueError, match="ONNX file holds one"):
        model.export(tmp_path / "file.onnx", format="onnx")
    monkeypatch.setattr(vk.backend, "ONNX", ("keras", "a_package_that_is_missing"))
    with pytest.raises(ImportError, match="needs the packages a_package_that_is_missing: pip install"):
        model.export(tmp_path / "file.onnx", format="onnx", part="encode")


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, (*vk.backend.ONNX, "onnxruntime"))), reason="needs ONNX's packages"
)
def test_onnx_files_give_the_models_numbers(tmp_path):
    import onnxruntime

    model = small_vae()
    model.build((None, 4, 4, 1))
    z = model.encode(X)
    for part, x, expected in (("serve", X, model.reconstruct(X)), ("encode", X, z), ("decode", z, model.decode(z))):
        path = str(tmp_path / f"{part}.onnx")
        model.export(path, format="onnx", part=part)
        session = onnxruntime.InferenceSession(path)
        (found,) = session.run(None, {session.get_inputs()[0].name: x})
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


HEADS = {
    "Bernoulli": Bernoulli((4, 4, 1)),
    "optimal": Normal((4, 4, 1), scale="optimal"),
    "masked": vk.layers.Masked(Normal((4, 4, 1))),
    "one-hot": vk.layers.OneHotCategorical((4, 4, 2)),
    "full covariance": vk.layers.MultivariateNormal(16),
}


@pytest.mark.parametrize("head", HEADS)
def test_networks_predict_the_means_of_their_distributions(head):
    network = keras.Sequential([MLP(8), HEADS[head]])
    z = np.random.default_rng(0).normal(size=(50, 2)).astype("float32")  # two batches of Keras'
    mean = ops.convert_to_numpy(network(z).mean())
    for n in (5, 50):
        np.testing.assert_allclose(network.predict(z[:n], verbose=0), mean[:n], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("head", [Categorical((4, 4, 1), bins=4), DiscretizedLogisticMixture((4, 4, 1), 2)])
def test_networks_that_cannot_predict_say_what_can(head):
    model = vk.VAE(small_vae().encoder, keras.Sequential([MLP(8), head]))
    model.build((None, 4, 4, 1))
    z = model.encode(X)
    for n in (5, 50):
        with pytest.raises(TypeError, match=r"model\.decode\(z\)"):
            model.decoder.predict(np.resize(z, (n, 2)), verbose=0)
    assert model.decode(z).shape == X.shape  # the weights are there still
