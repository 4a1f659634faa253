"""What is shared in a model is shared in its copies and files."""

import json
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from keras.layers import Add, Concatenate, Dense
from oracles import binary_images, small_vae

import vaekit as vk
from vaekit.layers import Autoregressive, Bernoulli, DiagonalNormal, MaskedConv2D, Stack, VariationalWeights

X = binary_images(20, (6,))


def vae(encoder, decoder, prior=None):
    return vk.VAE(keras.Sequential(encoder), keras.Sequential(decoder), prior, seed=0)


def ladder(q1, q2, p):
    """p(z2) p(z1) p(x|z1, z2) with q(z1|x) q(z2|x)."""
    generative = [vk.Factor(name, vk.priors.StandardNormal()) for name in ("z1", "z2")]
    inference = [vk.Factor("z1", q1, given="x"), vk.Factor("z2", q2, given="x")]
    return vk.LatentVariableModel([*generative, vk.Factor("x", p, given=("z1", "z2"))], inference, seed=0)


def functional(layers, head, shape=(6,), x=None):
    h = x = keras.Input(shape) if x is None else x
    for layer in layers:
        h = layer(h)
    return keras.Model(x, head(h))


def decoder(layer, copies=2):
    z = [keras.Input((2,)), keras.Input((2,))]
    return keras.Model(z, Bernoulli((6,))(Concatenate()([layer(Dense(6)(tensor)) for tensor in z[:copies]])))


class Parts:
    """A layer made of two, which it names in its configuration."""

    def __init__(self, first, head, **kwargs):
        super().__init__(**kwargs)
        self.first, self.head = first, head

    def get_config(self):
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("first", "head")}
        return {**super().get_config(), **parts}

    @classmethod
    def from_config(cls, config):
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("first", "head")}
        return cls(**{**config, **parts})


@keras.saving.register_keras_serializable("vaekit-tests")
class Net(Parts, keras.layers.Layer):
    """A user's network."""

    def build(self, input_shape):
        for layer, shape in ((self.first, input_shape), (self.head, (None, 6))):
            if not layer.built:
                layer.build(shape)

    def call(self, x):
        return self.head(self.first(x))

    def compute_output_spec(self, x):
        return self.head.compute_output_spec(self.first.compute_output_spec(x))


@keras.saving.register_keras_serializable("vaekit-tests")
class Forgetful(Net):
    """One that makes its parts anew."""

    def get_config(self):
        return keras.layers.Layer.get_config(self)

    @classmethod
    def from_config(cls, config):
        return cls(Dense(6), DiagonalNormal(2), **config)


@keras.saving.register_keras_serializable("vaekit-tests")
class Posterior(Parts, vk.priors.Prior):
    """A user's prior with a layer of the decoder's: p(z) is what it says of ones."""

    def build(self, input_shape):
        super().build(input_shape)
        self.distribution()

    def distribution(self):
        return vk.backend.tfd.BatchReshape(self.head(self.first(ops.ones((1, 6)))), [])


def sequential():
    shared = Dense(6, "relu")
    return vae([Dense(6), shared, DiagonalNormal(2)], [Dense(6), shared, Bernoulli(6)])


def two_graphs():
    shared = Dense(6, "relu")
    q1, q2 = (functional([shared, Dense(6)], DiagonalNormal(2)) for _ in range(2))
    return ladder(q1, q2, decoder(shared))


def one_graph():
    x = keras.Input((6,))
    h = Dense(6, "relu")(x)
    h = h + Dense(6)(h)
    q1, q2 = (keras.Model(x, DiagonalNormal(2)(h)) for _ in range(2))
    return ladder(q1, q2, keras.Sequential([Stack([Dense(6)]), Bernoulli(6)]))


def trunk_with_a_shared_layer():
    inner = Dense(6, "relu")
    trunk = keras.Sequential([inner, Dense(6)])
    x = keras.Input((6,))
    q2 = keras.Model(x, DiagonalNormal(2)(Add()([trunk(x), inner(x)])))
    q1 = keras.Sequential([keras.Sequential([trunk, Dense(6)]), inner, DiagonalNormal(2)])
    return ladder(q1, q2, decoder(inner))


def functional_trunk_in_a_network():
    inner = Dense(6, "relu")
    trunk = functional([inner], Dense(6))
    q1 = keras.Sequential([trunk, inner, DiagonalNormal(2)])
    q2 = functional([inner, trunk, inner], DiagonalNormal(2))
    return ladder(q1, q2, decoder(trunk))


def stacks():
    shared = Dense(6, "relu")
    return vk.VAE(Stack([shared, DiagonalNormal(2)]), Stack([Dense(6), shared, Bernoulli(6)], skip=False), seed=0)


def autoregressive():
    shared = MaskedConv2D(3, mask="B")
    layers = [MaskedConv2D(3, mask="A"), shared, shared, Bernoulli((2, 3, 1))]
    encoder = keras.Sequential([MaskedConv2D(3, mask="B"), shared, DiagonalNormal(2)])
    return vk.VAE(encoder, Autoregressive(layers), seed=0)


def variational():
    shared = Dense(6, "relu")
    shared.build((None, 6))
    p = VariationalWeights(Stack([Dense(6), shared, Bernoulli(6)]), 100, seed=0)
    return vk.VAE(Stack([shared, DiagonalNormal(2)]), p, seed=0)


def subclassed():
    shared = Dense(6, "relu")
    return vk.VAE(Net(shared, DiagonalNormal(2)), Net(Stack([Dense(6), shared]), Bernoulli(6)), seed=0)


def own_prior():
    shared, head = Dense(6, "relu"), DiagonalNormal(2)
    return vae([shared, DiagonalNormal(2)], [Dense(6), shared, Bernoulli(6)], Posterior(shared, head))


def vamp_prior():
    shared = Dense(6, "relu")
    encoder = keras.Sequential([shared, DiagonalNormal(2)])
    prior = vk.priors.VampPrior(encoder, 3, seed=0)
    return vk.VAE(encoder, keras.Sequential([Dense(6), shared, Bernoulli(6)]), prior, seed=0)


SHARED = {
    "Sequential": (sequential, 2 + 2 + 4 + 2 + 2),
    "functional, a graph each": (two_graphs, 2 + 2 * (2 + 4) + 4 + 2),
    "functional, one graph": (one_graph, 4 + 2 * 4 + 2 + 2),
    "a trunk with a shared layer": (trunk_with_a_shared_layer, 2 + 2 + 2 + 2 * 4 + 4 + 2),
    "functional trunk": (functional_trunk_in_a_network, 4 + 2 * 4 + 4 + 2),
    "Stack": (stacks, 2 + 4 + 2 + 2),
    "Autoregressive": (autoregressive, 2 + 2 + 4 + 2 + 2 + 2),
    "VariationalWeights": (variational, 2 + 4 + 4 + 6),
    "subclassed": (subclassed, 2 + 4 + 4),
    "own prior": (own_prior, 2 + 4 + 4 + 4),
    "VampPrior": (vamp_prior, 2 + 4 + 4 + 1),
}


def data(model):
    return X.reshape(-1, 2, 3, 1) if isinstance(model.networks[-1], Autoregressive) else X


def value(model):
    """log p(x, z) − log q(z|x), for the same noise in every copy."""
    for layer in model._flatten_layers():
        if isinstance(layer, VariationalWeights):
            layer.seed_generator.state.assign(ops.cast([0, 0], layer.seed_generator.state.dtype))
    return model.log_weights(data(model), 2, seed=1)


def means(model):
    z = model.encode(data(model))
    return np.concatenate(list(z.values()) if isinstance(z, dict) else [z], axis=1)


@pytest.fixture(scope="module", params=SHARED, ids=list(SHARED))
def model(request):
    make, count = SHARED[request.param]
    keras.utils.set_random_seed(0)
    made = make()
    made.compile(keras.optimizers.Adam(0.01))
    made.build((None, *data(made).shape[1:]))
    made.build_optimizer()
    made.optimizer.apply([ops.ones(v.shape) for v in made.trainable_variables])
    assert len(made.trainable_variables) == count
    return made


def assert_copy(copy, model):
    assert [v.shape for v in copy.trainable_variables] == [v.shape for v in model.trainable_variables]
    np.testing.assert_allclose(value(copy), value(model), rtol=1e-5)


@pytest.mark.alternate
def test_layers_shared_below_networks_stay_shared_in_a_file(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_copy(loaded, model)
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    for one, other in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (one, other)))
    loaded.save(tmp_path / "again.keras")  # a copy's copy
    assert_copy(keras.saving.load_model(tmp_path / "again.keras"), model)


@pytest.mark.alternate
def test_copies_are_made_without_a_file(model):
    config = model.get_config()
    for copy in (
        type(model).from_config(config),
        type(model).from_config(config),  # which leaves the configuration as it was
        keras.models.clone_model(model),
        keras.models.model_from_json(model.to_json()),
    ):
        copy.build(model.get_build_config()["input_shape"])
        assert json.dumps(copy.get_config()) == json.dumps(config)
        copy.set_weights(model.get_weights())
        assert_copy(copy, model)


OTHER = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import test_saving as t
import vaekit as vk
for path in sys.argv[2:]:
    np.save(path + ".npy", t.means(vk.load(path)))
"""


@pytest.mark.thorough
def test_files_open_on_the_other_backend(tmp_path, other_backend):
    makers = (two_graphs, autoregressive, subclassed, vamp_prior)
    models = {str(tmp_path / f"{i}.keras"): make() for i, make in enumerate(makers)}
    for path, model in models.items():
        model.build((None, *data(model).shape[1:]))
        model.save(path)
    environment = {**os.environ, "KERAS_BACKEND": other_backend}
    command = [sys.executable, "-c", OTHER, str(Path(__file__).parent), *models]
    subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=300)
    for path, model in models.items():
        np.testing.assert_allclose(np.load(path + ".npy"), means(model), rtol=1e-4, atol=1e-6)


def as_before(model):
    """The configuration of a model as it was written when layers were shared only as networks."""
    with keras.src.saving.serialization_lib.ObjectSharingScope():
        layers = [keras.saving.serialize_keras_object(layer) for layer in model.networks]
    return {**{k: v for k, v in model.get_config().items() if k != "shared_layers"}, "layers": layers}


def with_config(path, change):
    """Replaces the configuration in a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(content["config.json"])
    config["config"] = change(config["config"])
    content["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in content.items():
            archive.writestr(name, value)


def test_files_from_before_still_open(tmp_path):
    encoder = keras.Sequential([Dense(6), DiagonalNormal(2)])
    prior = vk.priors.VampPrior(encoder, 3, seed=0)
    model = vk.VAE(encoder, keras.Sequential([Dense(6), Bernoulli(6)]), prior, seed=0)
    model.build((None, 6))
    model.save(tmp_path / "old.keras")
    old = as_before(model)
    with_config(tmp_path / "old.keras", lambda _: old)
    loaded = vk.load(tmp_path / "old.keras")
    assert loaded.prior.encoder is loaded.encoder
    assert_copy(loaded, model)
    identity = [vk.training.checkpoint.settings_by_path(model, config) for config in (old, model.get_config())]
    assert identity[0] == identity[1]  # checkpoints go on, too


def forgetful():
    shared = Dense(6, name="common")
    return vk.VAE(Forgetful(shared, DiagonalNormal(2)), Stack([Dense(6), shared, Bernoulli(6)]))


def test_sharing_that_a_file_would_lose_is_refused_before_anything_is_written(tmp_path):
    model = forgetful()
    model.build((None, 6))
    before, path = random.getstate(), tmp_path / "model.keras"
    path.write_text("a model saved before")
    with pytest.raises(ValueError, match="'common', in 'forgetful.*get_config.*save_weights"):
        model.save(path)
    assert path.read_text() == "a model saved before"
    assert random.getstate() == before
    model.save_weights(tmp_path / "model.weights.h5")
    again = forgetful()
    again.build((None, 6))
    again.load_weights(tmp_path / "model.weights.h5")
    assert_copy(again, model)


@pytest.mark.once
@pytest.mark.parametrize("name", ["model.h5", "model.hdf5", "model.weights.h5", "model", "model.npz"])
def test_a_file_that_could_not_be_opened_is_not_written(name, tmp_path):
    model = small_vae()
    model.build((None, 4, 4, 1))
    with pytest.raises(ValueError, match=r"saved as a \.keras file.*save_weights"):
        model.save(tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.once
def test_load_says_what_is_wrong_with_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file '.*missing.keras'"):
        vk.load(tmp_path / "missing.keras")
    with pytest.raises(FileNotFoundError, match="no file 'hf://keras/some'.*keras.saving.load_model opens addresses"):
        vk.load("hf://keras/some")
    (tmp_path / "text.keras").write_text("no archive")
    with pytest.raises(ValueError, match="text.keras' is no .keras file.*model.save"):
        vk.load(tmp_path / "text.keras")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("readme", "")
    with pytest.raises(ValueError, match="other.keras' is no .keras file"):
        vk.load(tmp_path / "other.keras")
    model = small_vae()
    model.build((None, 4, 4, 1))
    model.save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match="is no .keras file.*load_weights"):
        vk.load(tmp_path / "model.weights.h5")


@pytest.mark.once
def test_load_names_classes_that_are_not_registered(tmp_path):
    class Unknown(Net):
        pass

    model = vk.VAE(Unknown(Dense(6), DiagonalNormal(2)), keras.Sequential([Dense(6), Bernoulli(6)]), seed=0)
    model.build((None, 6))
    model.save(tmp_path / "model.keras")
    with pytest.raises(
        ValueError, match="not known here: Unknown.*register_keras_serializable.*custom_objects"
    ) as error:
        vk.load(tmp_path / "model.keras")
    assert len(str(error.value)) < 500
    assert_copy(vk.load(tmp_path / "model.keras", custom_objects={"Unknown": Unknown}), model)


@keras.saving.register_keras_serializable("vaekit-tests")
class Scaled(vk.VAE):
    """A model with a setting of its own, which stands before the prior."""

    def __init__(self, encoder, decoder, gamma, prior=None, **kwargs):
        super().__init__(encoder, decoder, prior, **kwargs)
        self.gamma = gamma

    def get_config(self):
        return {**super().get_config(), "gamma": self.gamma}


@pytest.mark.once
def test_a_subclass_keeps_its_settings(tmp_path):
    model = Scaled(DiagonalNormal(2), Bernoulli(6), 5.0, prior=vk.priors.LearnedNormal())
    model.build((None, 6))
    model.save(tmp_path / "model.keras")
    for copy in (vk.load(tmp_path / "model.keras"), keras.models.clone_model(model)):
        assert copy.gamma == 5.0 and isinstance(copy.prior, vk.priors.LearnedNormal)


class Whole(vk.VAE):
    """A model that makes its networks itself, and has no configuration of its own."""

    def __init__(self, latents=2):
        super().__init__(DiagonalNormal(latents), Bernoulli(6))


class Gradual(vk.layers.Normal):
    """A likelihood that fixes an argument, which its configuration names."""

    def __init__(self, event_shape, **kwargs):
        super().__init__(event_shape, scale="pixel", **kwargs)


@pytest.mark.once
def test_a_layer_that_could_not_be_made_again_is_refused_before_it_is_written(tmp_path):
    model = vk.VAE(DiagonalNormal(2), keras.Sequential([Dense(4), Gradual(6)]))
    model.build((None, 6))
    with pytest.raises(ValueError, match="Gradual .* could not be made again from its configuration: .*'scale'.*fixes"):
        model.save(tmp_path / "model.keras")
    assert not (tmp_path / "model.keras").exists()


@pytest.mark.once
def test_a_class_that_could_not_be_made_again_is_refused_before_it_is_written(tmp_path):
    model = Whole()
    model.build((None, 6))
    with pytest.raises(ValueError, match="Whole could not be opened again.*from_config.*save_weights"):
        model.save(tmp_path / "model.keras")
    assert not (tmp_path / "model.keras").exists()


@pytest.mark.parametrize("name", ["encoder", "mlp", "prior"])
def test_what_is_frozen_stays_so_in_a_file(name, tmp_path):
    """Layers within a frozen layer are made anew when a file is opened, and would train."""
    layers = [vk.layers.MLP(4), DiagonalNormal(2)]
    model = vae(layers, [Bernoulli((6,))], vk.priors.LearnedNormal())
    model.build((None, 6))
    {"encoder": model.encoder, "mlp": layers[0], "prior": model.prior}[name].trainable = False
    model.compile("adam", objective=vk.objectives.ELBO())
    model.fit(X, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = vk.load(tmp_path / "model.keras")
    kinds = [[(w.name, w.shape) for w in m.trainable_weights] for m in (loaded, model)]
    assert kinds[0] == kinds[1]
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    frozen = [w for w in loaded.weights if not w.trainable and "float" in w.dtype]  # no count of steps
    before = [np.array(w) for w in frozen]
    loaded.fit(X, verbose=0)
    assert frozen and all(map(np.array_equal, before, map(np.array, frozen)))
