"""Training that was once wrong without a sign: losses of layers, state of objectives, weights, NaN, shapes, seeds."""

import keras
import numpy as np
import pytest
from keras import ops
from oracles import binary_images, small_vae

import vaekit as vk
from vaekit.backend import tfd
from vaekit.layers import MLP, Bernoulli, DiagonalNormal

X = binary_images()
IMAGE = (4, 4, 1)


# ---------------------------------------------------------------- losses that layers add


def regularized(strength, prior="standard normal", refinement=None, functional=False):
    """A model whose encoder has an activity penalty, of known value on the data; its weights do not depend on it."""
    penalty = keras.regularizers.L2(strength) if strength else None
    hidden = keras.layers.Dense(8, "tanh", activity_regularizer=penalty)
    if functional:  # a branch of the data alone, and one of both
        x, z2 = keras.Input(IMAGE), keras.Input((2,))
        h = hidden(keras.layers.Flatten()(x))
        encoder = keras.Model([x, z2], DiagonalNormal(3)(keras.layers.Concatenate()([h, z2])))
        decoder = vk.layers.Stack([MLP(8), Bernoulli(IMAGE)])
        model = vk.LatentVariableModel(
            [
                vk.Factor("z2", vk.priors.StandardNormal()),
                vk.Factor("z1", DiagonalNormal(3), given="z2"),
                vk.Factor("x", decoder, given=("z1", "z2")),
            ],
            [vk.Factor("z2", DiagonalNormal(2), given="x"), vk.Factor("z1", encoder, given=("x", "z2"))],
            refinement,
            seed=0,
        )
    else:
        encoder = keras.Sequential([keras.layers.Flatten(), hidden, DiagonalNormal(2)])
        prior = vk.priors.VampPrior(encoder, 3, seed=0) if prior == "VampPrior" else None
        model = vk.VAE(encoder, keras.Sequential([MLP(8), Bernoulli(IMAGE)]), prior, refinement, seed=0)
    model.build((None, *IMAGE))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.3, w.shape).astype("float32") for w in model.get_weights()])
    return model, hidden


def added(objective, batches=None, **options):
    """What the penalty adds to the loss of one step, and its value on the data."""
    losses = []
    for strength in (0.1, 0.0):
        model, hidden = regularized(strength, **options)
        model.compile(keras.optimizers.SGD(0.0), objective=objective)
        data = X if batches is None else batches()
        losses.append(model.fit(data, **({"batch_size": 64} if batches is None else {}), verbose=0).history["loss"][0])
    h = ops.convert_to_numpy(hidden(X.reshape(64, -1)))
    return losses[0] - losses[1], 0.1 * (h**2).sum() / 64


o = vk.objectives
LOSSES = {
    "ELBO, 3 samples": (o.ELBO(3), {}),
    "sticking the landing": (o.ELBO(2, gradient="stl"), {}),
    "score function": (o.ELBO(2, gradient="score_function"), {}),
    "DReG": (o.IWAE(3, gradient="dreg"), {}),
    "PIWAE": (o.PIWAE(2, 2), {}),
    "wake-sleep": (o.WakeSleep(), {}),
    "VampPrior": (o.ELBO(), {"prior": "VampPrior"}),
    "refined": (o.ELBO(), {"refinement": vk.inference.Refinement(steps=2)}),
    "a branch of the data": (o.ELBO(2, gradient="stl"), {"functional": True}),
    "batches of one's own": (o.ELBO(), {"batches": lambda: (batch for batch in [(X,)])}),
}


@pytest.mark.alternate
@pytest.mark.parametrize("kind", LOSSES)
def test_losses_that_layers_add_count_once_with_the_data(kind):
    objective, options = LOSSES[kind]
    loss, right = added(objective, **options)
    assert right > 0.05 and loss == pytest.approx(right, rel=1e-3)


def test_losses_of_layers_inside_count_too():
    class Penalized(keras.layers.Layer):
        def call(self, inputs):
            self.add_loss(7.0 + 0 * ops.sum(inputs))
            return inputs

    inner = keras.Sequential([Penalized(), Bernoulli(IMAGE)])
    pixels = [vk.layers.MaskedConv2D(2, mask="A"), keras.layers.Activation("tanh", activity_regularizer="l2")]
    for decoder, least in {
        vk.layers.VariationalWeights(inner, 64, seed=0): 7.0,
        vk.layers.Autoregressive([*pixels, Bernoulli(IMAGE)]): 1e-4,
    }.items():
        model = vk.VAE(DiagonalNormal(2), decoder, seed=0)
        model.compile("sgd")
        result = model.evaluate(X, seed=0, verbose=0)
        priors = sum(float(v.regularizer(v)) for v in model.trainable_variables if v.regularizer is not None)
        assert result["loss"] + result["bound"] - priors >= least * (1 - 1e-5)  # of float32


def test_half_precision_with_an_activity_penalty():
    keras.config.set_dtype_policy("mixed_float16")
    model, _ = regularized(0.1)
    model.compile("sgd")
    assert np.isfinite(model.fit(X, verbose=0).history["loss"]).all()


# ---------------------------------------------------------------- the state of an objective


class SetBeta(keras.callbacks.Callback):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def on_epoch_begin(self, epoch, logs=None):
        self.change(self.model, float(epoch))


def betas(objective, change=None, data=None, epochs=3):
    """β of each epoch, from loss = −reconstruction + β kl."""
    model = small_vae(objective=objective)
    x = X if data is None else data
    options = {"batch_size": 64} if data is None else {"steps_per_epoch": 1}
    callbacks = [SetBeta(change)] if change else []
    h = model.fit(x, epochs=epochs, callbacks=callbacks, verbose=0, **options).history
    return [(loss + r) / kl for loss, r, kl in zip(h["loss"], h["reconstruction"], h["kl"], strict=True)]


def endless():
    while True:
        yield (X,)


@pytest.mark.parametrize("batches", [None, endless])
def test_what_a_callback_assigns_to_an_objective_is_followed(batches):
    data = batches() if batches else None
    variable = keras.Variable(5.0)
    assert betas(o.ELBO(beta=variable), lambda m, e: variable.assign(e), data) == pytest.approx([0, 1, 2], abs=1e-3)
    data = batches() if batches else None
    number = lambda m, e: setattr(m.objective, "beta", e)  # noqa: E731
    assert betas(o.ELBO(), number, data) == pytest.approx([0, 1, 2], abs=1e-3)


def test_a_variable_anywhere_in_an_objective_is_followed():
    variable, settings = keras.Variable(5.0), {"rate": 1.0}

    class Own(o.ELBO):
        def __call__(self, model, data, step, training):
            loss, terms = super().__call__(model, data, step, training)
            return loss + (variable - 1) * terms["kl"], terms

    expected = pytest.approx([0, 1, 2], abs=1e-3)
    assert betas(Own(), lambda m, e: variable.assign(e)) == expected
    assert betas(o.ELBO(beta=lambda step: variable * 1), lambda m, e: variable.assign(e)) == expected
    change = lambda m, e: settings.update(rate=e)  # noqa: E731
    assert betas(o.ELBO(beta=lambda step: settings["rate"]), change) == expected


@pytest.mark.thorough
def test_numbers_are_followed_whatever_ran_in_between():
    model = small_vae(objective=o.ELBO(beta=0.0))
    model.build((None, *IMAGE))

    def beta(loss, bound, reconstruction, kl):
        return (loss + reconstruction) / kl

    batches = lambda: (batch for batch in [(X,)])  # noqa: E731
    model.fit(X, batch_size=64, verbose=0)
    model.train_on_batch(X)
    for value in (100.0, 7.0):
        model.objective.beta = value
        model.evaluate(X, verbose=0)
        for history in (model.fit(batches(), verbose=0), model.fit(X, batch_size=64, verbose=0)):
            assert beta(**{name: v[0] for name, v in history.history.items()}) == pytest.approx(value, rel=1e-3)
        for ask in (model.test_on_batch, model.train_on_batch):
            model.reset_metrics()
            assert beta(**ask(X, return_dict=True)) == pytest.approx(value, rel=1e-3)


def test_a_number_changed_within_an_epoch_is_refused():
    class Change(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.objective.beta = float(batch)

    for data in (X, (batch for batch in [(X[:32],), (X[32:],)])):
        model = small_vae(objective=o.ELBO(beta=0.0))
        with pytest.raises(ValueError, match="within an epoch.*keras.Variable"):
            model.fit(data, callbacks=[Change()], verbose=0, **({"batch_size": 32} if data is X else {}))


def test_an_objective_that_changes_when_it_is_called_compiles_once():
    class Counting(o.ELBO):
        calls = 0

        def __call__(self, *args):
            self.calls += 1
            return super().__call__(*args)

    model = small_vae(objective=Counting())
    each = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: None)
    model.fit(X, epochs=4, callbacks=[each], verbose=0)
    assert model.objective.calls <= 2
    model.fit((batch for batch in [(X,)]), callbacks=[each], verbose=0)


def test_networks_in_an_objective_are_told_to_be_untrained():
    objective = o.ELBO()
    objective.critic = keras.Sequential([keras.layers.Dense(1)])
    with pytest.warns(UserWarning, match="neither trained nor saved"):
        small_vae(objective=objective)
    objective.critic.trainable = False
    small_vae(objective=objective)


def test_freezing_after_compile_is_refused():
    model = small_vae()
    model.fit(X, verbose=0)
    model.encoder.trainable = False
    with pytest.raises(ValueError, match="compile the model again"):
        model.fit(X, verbose=0)
    model.compile("sgd")
    before = model.encoder.get_weights()
    model.fit(X, verbose=0)
    for a, b in zip(before, model.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_optimizer_of_other_weights_is_refused():
    model = small_vae()
    model.build((None, *X.shape[1:]))
    model.compile("adam")  # which builds the optimizer
    model.encoder.trainable = False
    for again in (lambda: model.fit(X, verbose=0), lambda: model.compile(model.optimizer)):
        with pytest.raises(ValueError, match="compile the model again, with a new optimizer"):
            again()


def test_a_schedule_that_comes_between_fits_is_followed():
    model = small_vae()
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(X, verbose=0)
    before = [np.array(w) for w in model.trainable_weights]
    model.optimizer.learning_rate = keras.optimizers.schedules.ExponentialDecay(1e-20, 1, 0.5)
    model.fit(X, verbose=0)
    for w, value in zip(model.trainable_weights, before, strict=True):
        np.testing.assert_array_equal(w, value)


def test_single_batches_are_checked():
    model = small_vae()
    for ask in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match="expects the values 0 and 1"):
            ask(X * 255)
        with pytest.raises(ValueError, match="no targets"):
            ask(X, X)


GLOBAL = {"rate": 1.0}


def test_a_global_of_a_schedule_is_followed():
    change = lambda m, e: GLOBAL.update(rate=e)  # noqa: E731
    assert betas(o.ELBO(beta=lambda step: GLOBAL["rate"]), change) == pytest.approx([0, 1, 2], abs=1e-3)


def test_weights_that_an_objective_reads_are_trained():
    objective = o.ELBO()
    model = small_vae(prior=vk.priors.LearnedNormal(2), objective=objective)
    objective.scale = model.prior.log_variance
    model.compile("sgd", objective=objective)
    assert model.prior.log_variance.trainable and len(model.variables) == len({id(v) for v in model.variables})


@pytest.mark.parametrize("schedule", [lambda s: s % 3, lambda s: np.float64(0.5), lambda s: ops.cast(s, "int64") % 3])
def test_schedules_of_any_number(schedule):
    expected = [float(schedule(step)) for step in range(3)]
    assert betas(o.ELBO(beta=schedule)) == pytest.approx(expected, abs=1e-3)


def test_an_objectives_variables_are_saved_and_not_trained(tmp_path):
    model = small_vae(objective=o.ELBO(beta=keras.Variable(3.0)))
    model.fit(X, epochs=2, verbose=0)
    assert float(model.objective.beta) == 3.0
    model.objective.beta.assign(2.5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.objective.beta, keras.Variable) and float(loaded.objective.beta) == 2.5
    assert loaded.evaluate(X, seed=0, verbose=0) == pytest.approx(model.evaluate(X, seed=0, verbose=0), rel=1e-5)


# ---------------------------------------------------------------- weights of examples, terms


@pytest.mark.parametrize("shape, dtype", [((64,), "float32"), ((64, 1), "float32"), ((64, 1), "float64")])
def test_weights_of_examples(shape, dtype):
    w = np.linspace(0, 2, 64)
    model = small_vae(objective=o.ELBO(analytic_kl=True))
    model.build((None, *IMAGE))
    start = ops.convert_to_numpy(model.seed_generator.state)
    loss = model.compute_loss(X, sample_weight=w.reshape(shape).astype(dtype), training=False)
    model.seed_generator.state.assign(start)
    each = ops.convert_to_numpy(model.objective(model, X, 0, False)[0])
    assert float(loss) == pytest.approx((w * each).mean(), rel=1e-5)
    with pytest.raises(ValueError, match=r"\[B\] or \[B, 1\]"):
        model.compute_loss(X, sample_weight=np.ones((64, 2)))


def test_an_objective_of_ones_own_reports_what_it_reports():
    class Only(o.ELBO):
        def __call__(self, model, data, step, training):
            loss, terms = super().__call__(model, data, step, training)
            return loss, {"bound": terms["bound"]}

    class More(o.ELBO):
        def __call__(self, model, data, step, training):
            loss, terms = super().__call__(model, data, step, training)
            return loss, {**terms, "gap": terms["kl"]}

    assert set(small_vae(objective=Only()).fit(X, verbose=0).history) == {"loss", "bound"}
    with pytest.raises(ValueError, match=r"reports \['gap'\].*terms\(model\)"):
        small_vae(objective=More()).fit(X, verbose=0)


# ---------------------------------------------------------------- NaN


def test_a_training_that_diverges_says_so_and_stops(tmp_path):
    model = small_vae()
    model.compile(keras.optimizers.SGD(1e30))
    with pytest.warns(UserWarning, match="epoch 1 .*NaN or infinite: training stops.*learning rate.*1e\\+30"):
        history = model.fit(X, epochs=5, batch_size=16, verbose=0, checkpoint=tmp_path / "training.npz").history
    assert len(history["loss"]) == 1 and not (tmp_path / "training.npz").exists()
    for what in (lambda x: model.sample(3), model.log_weights, model.posterior):
        with pytest.raises(ValueError, match="weights hold NaN"):
            what(X)
    for what in (model.encode, model.reconstruct, model.evaluate, lambda x: vk.evaluation.active_units(model, x)):
        with pytest.raises(ValueError, match="weights hold NaN"):
            what(X)
    with pytest.raises(ValueError, match="weights hold NaN"):
        vk.evaluation.log_likelihood(model, X, samples=2, progress=False)
    with pytest.raises(ValueError, match="weights hold NaN"):
        vk.evaluation.remove_inactive(model, X)


@pytest.mark.parametrize("batches", [None, endless])
def test_early_stopping_puts_no_nan_back(batches):
    class Break(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.optimizer.learning_rate = 1e30

    model = small_vae()
    model.compile(keras.optimizers.SGD(1e-3))
    stop = vk.training.EarlyStopping(monitor="bound")
    options = {"batch_size": 16} if batches is None else {"steps_per_epoch": 4}
    with pytest.warns(UserWarning, match="epoch 2 .*NaN or infinite"):
        model.fit(X if batches is None else batches(), epochs=4, callbacks=[Break(), stop], verbose=0, **options)
    assert np.isfinite(model.evaluate(X, verbose=0)["bound"])


def test_infinite_validation_does_not_hide_what_comes_after():
    model, stop = small_vae(), vk.training.finite.StopAtNaN()
    model.build((None, *IMAGE))
    stop.set_model(model)
    with pytest.warns(UserWarning, match="validation data alone"):
        stop.on_epoch_end(0, {"loss": 1.0, "val_bound": -np.inf})
    with pytest.warns(UserWarning, match="training stops"):
        stop.on_epoch_end(1, {"loss": np.nan, "val_bound": -np.inf})
    assert model.stop_training


# ---------------------------------------------------------------- shapes of distributions


def test_a_distribution_of_other_shapes_than_declared_is_refused():
    class Forgetful(vk.layers.DistributionLayer):
        parameters = ("mean",)

        def distribution(self, mean):
            return tfd.Normal(mean, 1.0)

    class ForgetfulPrior(vk.priors.Prior):
        def distribution(self):
            return tfd.Normal(ops.zeros(self.shape), 1.0)

    encoder, decoder = keras.Sequential([MLP(8), DiagonalNormal(2)]), Bernoulli(IMAGE)
    for model in (
        vk.VAE(encoder, Forgetful(IMAGE)),
        vk.VAE(Forgetful(64), decoder),  # as many units as examples
        vk.VAE(DiagonalNormal(64), decoder, ForgetfulPrior()),
    ):
        model.compile("sgd")
        with pytest.raises(ValueError, match="self.independent"):
            model.fit(X, verbose=0, batch_size=64)
        with pytest.raises(ValueError, match="self.independent"):
            model.log_weights(X)


# ---------------------------------------------------------------- means, draws and seeds


def pixel_vae():
    pixels = [vk.layers.MaskedConv2D(2, mask="A"), Bernoulli(IMAGE)]
    model = vk.VAE(DiagonalNormal(2), vk.layers.Autoregressive(pixels, skip=True), seed=0)
    model.build((None, *IMAGE))
    return model


def test_a_draw_is_no_mean_and_a_seed_repeats_it():
    model, z = pixel_vae(), np.zeros((3, 2), "float32")
    for ask in (
        lambda **k: model.sample(4, mean=True),
        lambda **k: model.decode(z),
        lambda **k: model.reconstruct(X[:3]),
        lambda **k: model(X[:3]),
    ):
        with pytest.raises(ValueError, match="no mean in closed form.*mean=False"):
            ask()
    for ask in (
        lambda seed: model.sample(4, seed=seed),
        lambda seed: model.decode(z, mean=False, seed=seed),
        lambda seed: model.reconstruct(X[:3], mean=False, seed=seed),
        lambda seed: model.encode(X[:3], mean=False, seed=seed),
    ):
        np.testing.assert_array_equal(ask(1), ask(1))
        assert np.any(ask(1) != ask(2))
    model.compile("sgd")
    assert np.isfinite(
        model.fit((batch for batch in [(X,)]), verbose=0).history["bound"]
    ).all()  # Keras' own loop calls the model


def test_a_model_called_within_keras_own_loop_reconstructs():
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(ops.convert_to_numpy(self.model(X)))

    model = small_vae()
    model.fit((batch for batch in [(X,)]), callbacks=[Look()], verbose=0)
    np.testing.assert_allclose(seen[0], model.reconstruct(X), rtol=1e-5)


def test_a_posterior_without_a_mean():
    class LogitNormal(vk.layers.DistributionLayer):
        parameters = ("loc",)

        def distribution(self, loc):
            return self.independent(tfd.LogitNormal(0 * loc, 1.0))  # ignores x

    model = vk.VAE(LogitNormal(4), Bernoulli(IMAGE), seed=0)
    model.build((None, *IMAGE))
    with pytest.raises(ValueError, match="no mean in closed form"):
        vk.evaluation.active_units(model, X)
    assert model.encode(X, mean=False, seed=0).shape == (64, 4)


def test_seeds_of_any_integer():
    for given, same in {np.int64(5): 5, np.uint8(5): 5, -1: 2**31 - 2, 2**40: 2**40 % (2**31 - 1)}.items():
        model, other = small_vae(seed=given), small_vae(seed=same)
        for m in (model, other):
            m.build((None, *IMAGE))
        other.set_weights(model.get_weights())
        np.testing.assert_array_equal(model.sample(3), other.sample(3))
        np.testing.assert_array_equal(model.sample(3, seed=given), other.sample(3, seed=same))
        assert model.evaluate(X, seed=given, verbose=0) == other.evaluate(X, seed=same, verbose=0)
    for wrong in (1.5, "a", True):
        with pytest.raises(ValueError, match="seed should be an integer"):
            small_vae(seed=wrong)


# ---------------------------------------------------------------- p and q of several variables


def test_an_observed_variable_with_a_prior_and_a_condition_of_q_alone():
    model = vk.LatentVariableModel(
        [
            vk.Factor("y", vk.priors.LearnedNormal()),
            vk.Factor("z", vk.priors.StandardNormal()),
            vk.Factor("x", vk.layers.Stack([MLP(8), Bernoulli(IMAGE)]), given=("z", "y")),
        ],
        [vk.Factor("z", vk.layers.Stack([keras.layers.Flatten(), DiagonalNormal(2)]), given="label")],
        seed=0,
    )
    model.build({"x": (None, *IMAGE), "y": (None, 3), "label": (None, 5)})
    sample, mean = (model.sample(6, mean=mean, seed=0) for mean in (False, True))
    np.testing.assert_array_equal(sample["y"], mean["y"])  # x is the mean given this y
    z = model.draw(6, seed=0)
    p = model.likelihood({"z": z["z"]}, mean=False)["x"]
    assert tuple(p.batch_shape) == (6,)
    expected = model.generative[2]([z["z"], z["y"]]).mean()
    np.testing.assert_allclose(mean["x"], ops.convert_to_numpy(expected), rtol=1e-5)
    for drawn in (sample, mean):
        assert {name: value.shape for name, value in drawn.items()} == {"y": (6, 3), "x": (6, *IMAGE)}
    decoded = model.decode(np.zeros((6, 2), "float32"))
    assert decoded["y"].shape == (6, 3) and decoded["x"].shape == (6, *IMAGE)
    with pytest.raises(ValueError, match="n to be an integer of at least 1; received -1"):
        model.sample(-1)


def test_conditions_to_draw_by_are_checked():
    decoder = vk.layers.Stack([MLP(8), Bernoulli(IMAGE)])
    model = vk.LatentVariableModel(
        [vk.Factor("z", vk.priors.StandardNormal()), vk.Factor("x", decoder, given=("z", "label"))],
        [vk.Factor("z", DiagonalNormal(2), given="x")],
    )
    model.build({"x": (None, *IMAGE), "label": (None, 3)})
    assert model.sample(2, {"label": np.eye(3)[[0, 1]]}).shape == (2, *IMAGE)
    for wrong, message in {
        "integer labels": (np.array([0, 1]), "one-hot rows"),
        "NaN": (np.full((2, 3), np.nan), "NaN or infinite"),
        "one row": (np.eye(3)[0], r"x\[None\]"),
        "another width": (np.eye(4)[:2], r"\['N', 3\]"),
    }.values():
        with pytest.raises(ValueError, match=message):
            model.sample(2, {"label": wrong})
    with pytest.raises(ValueError, match="dict of arrays by name"):
        model.sample(2, np.eye(3)[:2])


def test_a_prior_sees_rows_as_networks_do():
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])

    class Flow(vk.priors.Prior):
        def build(self, shape):
            self.network = network
            super().build(shape)

        def distribution(self):
            base = self.independent(tfd.Normal(ops.zeros(self.shape), ops.ones(self.shape)))
            return vk.backend.tfp.distributions.TransformedDistribution(base, Shift(self.network))

    class Shift(vk.backend.tfp.bijectors.Bijector):
        def __init__(self, network):
            self._network = network
            super().__init__(forward_min_event_ndims=1, is_constant_jacobian=True, name="shift")

        def _forward(self, x):
            return x + 0 * self._network(x) + 1

        def _inverse(self, y):
            return y - 0 * self._network(y) - 1

        def _inverse_log_det_jacobian(self, y):
            return ops.zeros(())

    model = vk.VAE(DiagonalNormal(2), Bernoulli(IMAGE), Flow(), seed=0)
    model.compile("sgd", objective=o.IWAE(3))
    assert np.isfinite(model.fit(X, verbose=0).history["bound"]).all()
    z = ops.convert_to_numpy(model.trace(X[:2], 3, seed=0).values["z"])
    log_p = ops.convert_to_numpy(model.trace(X[:2], 3, seed=0).log_p["z"])
    np.testing.assert_allclose(log_p, -0.5 * ((z - 1) ** 2).sum(-1) - np.log(2 * np.pi), rtol=1e-4)
