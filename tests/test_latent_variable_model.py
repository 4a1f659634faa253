"""What users of models run into: modes, seeds, odd distributions, Keras' own options."""

import functools

import keras
import numpy as np
import pytest
from keras import ops
from oracles import ProbabilisticPCA, binary_images, small_vae, two_latents

import vaekit as vk
from vaekit.backend import tfd
from vaekit.layers import MLP, Bernoulli, DiagonalNormal, Normal, VariationalWeights

X = binary_images()


def weight_gradient(model, objective, weight, seed):
    model.seed_generator.state.assign(ops.cast([seed, 0], model.seed_generator.state.dtype))
    return ops.convert_to_numpy(_gradient(model, objective, weight.path)())


@functools.cache
def _gradient(model, objective, path):
    weight = next(w for w in model.trainable_variables if w.path == path)
    data = {"x": ops.convert_to_tensor(X[:10])}

    def gradient():
        return vk.backend.variables_gradient(lambda: ops.mean(objective(model, data, 0, False)[0]), [weight])[1][0]

    return vk.backend.compile(gradient, model.variables)


def test_score_function_with_closed_form_kl_of_several_latents():
    model = two_latents("top-down")
    model.build((None, 4, 4, 1))
    model.compile("sgd")
    weight = model.inference[0].layer.layers[-1].heads["mean"].bias  # of q(z2|x), which z1's KL depends on
    weight.assign([1.0, -1.0])
    exact = weight_gradient(model, vk.objectives.ELBO(1000, analytic_kl=True), weight, seed=0)
    objective = vk.objectives.ELBO(1000, analytic_kl=True, gradient="score_function")
    draws = np.array([weight_gradient(model, objective, weight, seed) for seed in range(6)])
    assert np.all(np.abs(draws.mean(axis=0) - exact) < 5 * draws.std(axis=0, ddof=1) / np.sqrt(6) + 0.02)


@keras.saving.register_keras_serializable("vaekit-tests")
class Noisy(keras.Model):
    """A subclassed network with dropout, whose call has no training argument."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dropout, self.normalize = keras.layers.Dropout(0.5), keras.layers.BatchNormalization(momentum=0.9)
        self.head = DiagonalNormal(2)

    def call(self, inputs):
        flat = ops.reshape(inputs, (-1, 16))
        return self.head(self.dropout(self.normalize(flat)))


def test_training_mode_reaches_every_network():
    model = vk.VAE(Noisy(), keras.Sequential([MLP(8), Bernoulli((4, 4, 1))]), seed=0)
    model.compile("sgd")
    first, second = (ops.convert_to_numpy(model.trace(X, training=True).q["z"].mean()) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3
    first, second = (ops.convert_to_numpy(model.trace(X).q["z"].mean()) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.isfinite(model.fit(X, verbose=0).history["bound"]).all()


def test_batch_normalization_is_updated_once_a_step():
    encoder = keras.Sequential(
        [keras.layers.Flatten(), keras.layers.BatchNormalization(momentum=0.9), DiagonalNormal(2)]
    )
    model = vk.VAE(encoder, keras.Sequential([MLP(8), Bernoulli((4, 4, 1))]), seed=0)
    model.compile("sgd")
    model.fit(X, batch_size=64, verbose=0)
    moving = ops.convert_to_numpy(encoder.layers[1].moving_mean)
    np.testing.assert_allclose(moving, 0.1 * X.reshape(64, 16).mean(axis=0), rtol=1e-4, atol=1e-6)


def test_variational_weights_pass_the_training_mode_on():
    inner = keras.Sequential([keras.layers.BatchNormalization(momentum=0.9), Bernoulli((4, 4, 1))])
    model = vk.VAE(keras.Sequential([MLP(8), DiagonalNormal(2)]), VariationalWeights(inner, 64, seed=0), seed=0)
    model.compile("sgd")
    model.fit(X, verbose=0)
    assert np.all(ops.convert_to_numpy(inner.layers[0].moving_variance) != 1)


def test_a_likelihood_without_a_mean_trains_and_reconstructs():
    class LogitNormal(vk.layers.DistributionLayer):
        parameters = ("loc",)

        def distribution(self, loc):
            return self.independent(tfd.LogitNormal(loc, 1.0))

    model = vk.VAE(keras.Sequential([MLP(8), DiagonalNormal(2)]), LogitNormal((4, 4, 1)), seed=0)
    model.compile("sgd")
    x = np.clip(X, 0.1, 0.9)
    assert np.isfinite(model.fit(x, verbose=0).history["bound"]).all()
    assert model.reconstruct(x, mean=False).shape == x.shape


def test_several_observed_variables():
    y = X.reshape(64, 16)[:, :3]

    def joined(head):
        z, x = keras.Input((2,)), keras.Input((4, 4, 1))
        return keras.Model([z, x], head(keras.layers.Concatenate()([z, keras.layers.Flatten()(x)])))

    model = vk.LatentVariableModel(  # p(z) p(x|z) p(y|z, x)
        generative=[
            vk.Factor("z", vk.priors.StandardNormal()),
            vk.Factor("x", Bernoulli((4, 4, 1)), given="z"),
            vk.Factor("y", joined(Bernoulli(3)), given=("z", "x")),
        ],
        inference=[vk.Factor("z", DiagonalNormal(2), given="x")],
    )
    model.compile("sgd")
    model.fit({"x": X, "y": y}, verbose=0)
    assert {name: value.shape for name, value in model.reconstruct({"x": X, "y": y}).items()} == {
        "x": X.shape,
        "y": y.shape,
    }
    assert set(model.sample(3)) == {"x", "y"}
    with pytest.raises(ValueError, match="as many rows"):
        model.fit({"x": X, "y": y[:5]}, verbose=0)


def test_random_state_goes_on_after_reloading(tmp_path):
    model = small_vae()
    model.fit(X, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    state, again = (ops.convert_to_numpy(m.seed_generator.state) for m in (model, loaded))
    np.testing.assert_array_equal(state, again)
    assert model.batches(X, 10, shuffle=True).order.tolist() == loaded.batches(X, 10, shuffle=True).order.tolist()


def test_compiling_is_left_to_the_machine_that_loads():
    model = small_vae()
    assert "jit_compile" not in model.get_compile_config()
    model.compile("sgd", jit_compile=False)
    assert model.get_compile_config()["jit_compile"] is False


def test_validation_does_not_change_the_order_of_training():
    orders = []
    for validation in (None, X):
        model, seen = small_vae(), []
        original = model.batches

        def spy(x, *args, original=original, seen=seen, **kwargs):
            batches = original(x, *args, **kwargs)
            seen.append(batches)
            return batches

        model.batches = spy
        model.fit(X, validation_data=validation, verbose=0)
        orders.append(seen[0].order.tolist())
    assert orders[0] == orders[1]


def test_dynamic_data_are_evaluated_in_their_fixed_draw():
    model, data = small_vae(), vk.batches.DynamicBinarization(X * 0.6 + 0.2)
    model.fit(data, verbose=0)
    results = [model.evaluate(d, verbose=0, seed=0) for d in (data, data, np.asarray(data))]
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("name", ["validation_split", "sample_weight", "class_weight"])
def test_options_that_do_not_apply_are_refused(name):
    advice = "pass validation_data" if name == "validation_split" else r"batches, \(x, None, sample_weight\)"
    with pytest.raises(ValueError, match=f"{name}.*{advice}"):
        small_vae().fit(X, verbose=0, **{name: 0.5})


def test_weights_of_examples_come_in_batches():
    model, weights = small_vae(), np.linspace(0.5, 1.5, len(X), dtype="float32")
    with pytest.raises(ValueError, match="evaluate does without sample_weight here"):
        model.evaluate(X, sample_weight=weights, verbose=0)
    model.fit(X, sample_weight=None, verbose=0)
    assert set(model.evaluate(X, sample_weight=None, verbose=0)) == set(model.evaluate(X, verbose=0))


def test_a_network_without_a_distribution_is_told_what_it_returned():
    dense = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    model = vk.VAE(dense, small_vae().decoder)
    with pytest.raises(ValueError, match=r"must end in a distribution layer.*returned a tensor of shape \(\d+, 3\)"):
        model.encode(X)


def test_more_refusals():
    with pytest.raises(ValueError, match="Metrics compare"):
        small_vae().compile("sgd", metrics=["mse"])
    with pytest.raises(ValueError, match="batch_size to be an integer of at least 1"):
        small_vae().fit(X, batch_size=0, verbose=0)
    with pytest.raises(ValueError, match="makes batches of its own"):
        small_vae().fit(vk.batches.Batches(X), batch_size=10, verbose=0)
    with pytest.raises(ValueError, match="expects the values 0 and 1"):
        small_vae().fit(vk.batches.Batches(X * 255), verbose=0)
    with pytest.raises(ValueError, match="expects the values 0 and 1"):
        small_vae().log_weights(ops.convert_to_tensor(X * 255), 2)
    for prior in (vk.priors.LearnedNormal(), vk.priors.MixtureOfNormals(3), vk.priors.VampPrior(small_vae().encoder)):
        with pytest.raises(ValueError, match=r"does not know the latent's shape.*prior.build\(\(20,\)\)"):
            prior.distribution()
    model = small_vae()
    model.build((None, 4, 4, 1))
    with pytest.raises(ValueError, match=r"\['N', 2\]; received \[2\]"):
        model.decode(np.zeros(2))
    with pytest.raises(ValueError, match="chunk"):
        vk.evaluation.log_likelihood(model, X, samples=5, chunk=-1)


def test_arrays_of_the_other_framework_are_arrays():
    other = {"tensorflow": "jax.numpy", "jax": "tensorflow"}[keras.backend.backend()]
    module = pytest.importorskip(other)
    make = module.asarray if other == "jax.numpy" else module.convert_to_tensor
    model = small_vae()
    model.fit(make(X), batch_size=16, verbose=0)
    assert int(model.step) == 4


def test_hmc_refuses_what_it_cannot_follow():
    class Coins(vk.priors.Prior):
        def distribution(self):
            return self.independent(tfd.Bernoulli(logits=ops.zeros(self.shape), dtype="float32"))

    with pytest.raises(ValueError, match="continuous latents"):
        vk.inference.hmc(small_vae(prior=Coins()), X[:2], samples=2, burn_in=2)
    decoder = VariationalWeights(keras.Sequential([MLP(3), Bernoulli((4, 4, 1))]), 64)
    model = vk.VAE(DiagonalNormal(2), decoder)
    with pytest.raises(ValueError, match="no fixed density"):
        vk.inference.hmc(model, X[:2], samples=2, burn_in=2)


def test_monte_carlo_em_counts_the_weight_prior():
    x = ProbabilisticPCA().x
    norms = []
    for strength in (0.0, 100.0):
        decoder = Normal(6, kernel_regularizer=keras.regularizers.L2(strength))
        model = vk.VAE(DiagonalNormal(3), decoder, seed=0)
        model.build((None, 6))
        vk.inference.monte_carlo_em(model, x, keras.optimizers.Adam(0.05), epochs=10, progress=False)
        norms.append(np.linalg.norm(decoder.get_weights()[0]))
    assert norms[1] < 0.5 * norms[0]


def test_progress_counts_steps_also_when_several_run_at_once(capsys):
    model = small_vae()
    model.compile("sgd", steps_per_execution=3)
    model.fit(X, batch_size=16, verbose=1)
    assert "4/4" in capsys.readouterr().err
    model.fit(X, batch_size=16, verbose=2)
    line = capsys.readouterr().out
    assert line.startswith("epoch 1/1: loss ") and "bound -" in line and "e+" not in line


def test_mixed_precision_training_agrees_with_float32():
    bounds = []
    for policy in ("float32", "mixed_bfloat16"):
        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy(policy)
        model = small_vae()
        model.fit(X, epochs=3, verbose=0)
        bounds.append(model.evaluate(X, verbose=0, seed=0)["bound"])
        assert all(w.dtype == "float32" for w in model.trainable_weights)
    assert bounds[0] == pytest.approx(bounds[1], rel=0.02)


def test_run_eagerly_gives_the_same():
    histories = []
    for eager in (False, True):
        keras.utils.set_random_seed(0)
        model = small_vae()
        model.compile("sgd", run_eagerly=eager)
        histories.append(model.fit(X, batch_size=32, verbose=0).history)
    for name, values in histories[0].items():
        assert values == pytest.approx(histories[1][name], rel=1e-4)


def test_a_model_compiled_anew_is_saved_and_loaded_without_complaint(tmp_path, recwarn):
    model = small_vae()
    model.fit(X, verbose=0)
    model.compile("sgd", objective=vk.objectives.IWAE(3))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert not [w for w in recwarn if "optimizer" in str(w.message)]
    assert loaded.evaluate(X, verbose=0, seed=0) == pytest.approx(model.evaluate(X, verbose=0, seed=0), rel=1e-5)


def test_an_encoder_stands_before_other_layers():
    """As a classifier of codes: what follows a distribution takes its mean, and its gradient."""
    model = small_vae()
    x = binary_images(12)
    model.build((None, *x.shape[1:]))
    image = keras.Input(x.shape[1:])
    head = keras.layers.Dense(1)
    classifier = keras.Model(image, head(model.encoder(image)))
    by_hand = model.encode(x) @ np.asarray(head.kernel) + np.asarray(head.bias)
    np.testing.assert_allclose(classifier.predict(x, verbose=0), by_hand, rtol=1e-4, atol=1e-5)
    classifier.compile(keras.optimizers.SGD(0.1), "mse")
    before = [np.array(w) for w in model.encoder.trainable_weights]
    classifier.fit(x, np.ones((12, 1)), verbose=0)
    after = [np.array(w) for w in model.encoder.trainable_weights]
    assert sum(not np.array_equal(a, b) for a, b in zip(before, after, strict=True)) >= 2
