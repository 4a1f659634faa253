"""Gradient estimators and the importance weighted family against exact gradients and each other."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops
from oracles import ProbabilisticPCA, binary_images, small_vae, two_latents

import vaekit as vk
from vaekit import backend
from vaekit.objectives import CIWAE, ELBO, IWAE, MIWAE, PIWAE, VIMCO, EnumeratedELBO, ReweightedWakeSleep


def gradients(model, objective, x, repeats=1, seed=0):
    """Gradients of the loss, one row for each repeat: arrays `[R, ...]` for encoder and decoder weights, flattened."""
    data = model.observe(x)
    sides = [factor.layer.trainable_variables for factor in (model.inference[0], model.generative[-1])]
    model.seed_generator.state.assign(ops.cast([seed, 0], model.seed_generator.state.dtype))

    def run():
        def loss():
            return ops.mean(objective(model, data, 0, training=True)[0])

        return backend.variables_gradient(loss, [*sides[0], *sides[1]])[1]

    run = backend.compile(run, model.variables)
    rows = [[ops.convert_to_numpy(g).ravel() for g in run()] for _ in range(repeats)]
    n = len(sides[0])
    return (
        np.array([np.concatenate(part) for part in parts]) for parts in ([r[:n] for r in rows], [r[n:] for r in rows])
    )


def close_in_mean(a, b, errors=5):
    spread = np.sqrt(a.var(axis=0) / len(a) + b.var(axis=0) / len(b))
    assert np.all(np.abs(a.mean(axis=0) - b.mean(axis=0)) < errors * spread + 1e-5)


def model_of(shift=0.4, stretch=1.3):
    return ProbabilisticPCA(shift=shift, stretch=stretch)


@pytest.mark.alternate
@pytest.mark.parametrize(
    "other", [ELBO(3, gradient="stl"), MIWAE(3, 1, gradient="dreg"), ELBO(3, gradient="score_function")]
)
def test_estimators_of_the_elbo_agree_in_expectation(other):
    pca = model_of()
    q, p = gradients(pca.model, ELBO(3), pca.x[:5], repeats=300)
    q_other, p_other = gradients(pca.model, other, pca.x[:5], repeats=300, seed=1)
    close_in_mean(q, q_other)
    close_in_mean(p, p_other)


@pytest.mark.alternate
@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_doubly_reparameterized_iwae_agrees_in_expectation_with_less_noise(beta):
    pca = model_of()
    q, p = gradients(pca.model, IWAE(8, beta), pca.x[:5], repeats=400)
    q_dreg, p_dreg = gradients(pca.model, IWAE(8, beta, "dreg"), pca.x[:5], repeats=400, seed=1)
    close_in_mean(q, q_dreg)
    close_in_mean(p, p_dreg)
    assert q_dreg.var(axis=0).sum() < 0.5 * q.var(axis=0).sum()


@pytest.mark.alternate
@pytest.mark.parametrize("objective", [ELBO(2, gradient="stl"), IWAE(4, gradient="stl"), IWAE(4, gradient="dreg")])
def test_no_noise_in_the_encoder_at_the_exact_posterior(objective):
    pca = model_of(0.0, 1.0)
    q, _ = gradients(pca.model, objective, pca.x[:5], repeats=5)
    noisy, _ = gradients(pca.model, IWAE(4), pca.x[:5], repeats=5)
    assert np.abs(q).max() < 1e-3 < 0.1 * np.abs(noisy).max()


def test_generative_gradients_do_not_depend_on_the_encoders_estimator():
    pca = model_of()
    _, p = gradients(pca.model, IWAE(6), pca.x[:5])
    for gradient in ("stl", "dreg"):
        _, other = gradients(pca.model, IWAE(6, gradient=gradient), pca.x[:5])
        np.testing.assert_allclose(other, p, rtol=1e-4, atol=1e-5)


@pytest.mark.alternate
@pytest.mark.parametrize("objective", [IWAE(4, gradient="dreg"), MIWAE(2, 3, gradient="dreg"), PIWAE(2, 3), CIWAE(3)])
def test_the_loss_is_minus_the_bound_whatever_its_gradient(objective):
    pca = model_of()
    loss, terms = objective(pca.model, pca.model.observe(pca.x[:5]), 0, training=False)
    np.testing.assert_allclose(loss, -terms["bound"], rtol=1e-5)


@pytest.mark.alternate
@pytest.mark.parametrize("gradient", ["pathwise", "dreg"])
def test_piwae_is_iwae_for_the_decoder_and_miwae_for_the_encoder(gradient):
    pca = model_of()
    q, p = gradients(pca.model, PIWAE(2, 3, gradient=gradient), pca.x[:5])
    q_miwae, _ = gradients(pca.model, MIWAE(2, 3, gradient=gradient), pca.x[:5])
    _, p_iwae = gradients(pca.model, IWAE(6), pca.x[:5])
    np.testing.assert_allclose(q, q_miwae, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(p, p_iwae, rtol=1e-3, atol=1e-5)


@pytest.mark.alternate
@pytest.mark.parametrize("order", ["bottom-up", "top-down"])
def test_hierarchies_keep_the_path_through_earlier_latents(order):
    """q(z2|z1) at fixed weights still moves with z1: the estimators agree in both orders."""
    model, x = two_latents(order), binary_images(6)
    model.build((None, *x.shape[1:]))
    plain, _ = gradients(model, ELBO(20), x, repeats=150)
    stl, _ = gradients(model, ELBO(20, gradient="stl"), x, repeats=150, seed=1)
    dreg, _ = gradients(model, MIWAE(20, 1, gradient="dreg"), x, repeats=150, seed=2)
    close_in_mean(plain, stl)
    close_in_mean(plain, dreg)


def test_a_second_pass_repeats_the_first_ones_dropout():
    """At the exact sample, log q with frozen weights equals log q, also where the encoder has dropout."""
    encoder = keras.Sequential([keras.layers.Flatten(), keras.layers.Dropout(0.5, seed=1), vk.layers.DiagonalNormal(2)])
    model = vk.VAE(encoder, keras.Sequential([vk.layers.MLP(4), vk.layers.Bernoulli((4, 4, 1))]), seed=0)
    x = binary_images(5)
    model.build((None, *x.shape[1:]))
    traces = []
    for frozen in ("", "q"):
        encoder.layers[1].seed_generator.state.assign(ops.cast([1, 0], encoder.layers[1].seed_generator.state.dtype))
        traces.append(model.trace(x, 3, training=True, frozen=frozen, seed=4))
    np.testing.assert_allclose(*(ops.convert_to_numpy(t.log_q["z"]) for t in traces), rtol=1e-5)


def test_both_sides_of_a_split_gradient_see_the_same_dropout():
    """With one sample PIWAE's two passes give the ELBO's gradient, also where the encoder has dropout."""
    encoder = keras.Sequential([keras.layers.Flatten(), keras.layers.Dropout(0.5, seed=1), vk.layers.DiagonalNormal(2)])
    model = vk.VAE(encoder, keras.Sequential([vk.layers.MLP(4), vk.layers.Bernoulli((4, 4, 1))]), seed=0)
    x, state = binary_images(5), encoder.layers[1].seed_generator.state
    model.build((None, *x.shape[1:]))
    results = []
    for objective in (ELBO(), PIWAE(1, 1)):
        state.assign(ops.cast([1, 0], state.dtype))
        results.append(list(gradients(model, objective, x)))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_the_family_of_bounds_on_the_same_log_weights():
    log_weights = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    iwae = np.log(np.exp(log_weights).mean(axis=0))
    bound = lambda objective: ops.convert_to_numpy(objective.bound(ops.convert_to_tensor(log_weights)))  # noqa: E731
    np.testing.assert_allclose(bound(IWAE(6)), iwae, rtol=1e-5)
    np.testing.assert_allclose(bound(MIWAE(6, 1)), log_weights.mean(axis=0), rtol=1e-5)
    two = np.log(np.exp(log_weights.reshape(2, 3, 4)).mean(axis=1)).mean(axis=0)
    np.testing.assert_allclose(bound(MIWAE(2, 3)), two, rtol=1e-5)
    np.testing.assert_allclose(bound(CIWAE(6, 0.25)), 0.25 * log_weights.mean(axis=0) + 0.75 * iwae, rtol=1e-5)
    np.testing.assert_allclose(bound(PIWAE(2, 3)), iwae, rtol=1e-5)
    assert np.all(log_weights.mean(axis=0) < two) and np.all(two < iwae)


@pytest.mark.parametrize("objective", [IWAE(6), MIWAE(2, 3), CIWAE(6, 0.25), PIWAE(2, 3)])
def test_shares_are_the_derivatives_of_the_bound(objective):
    log_weights = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(6, 4)).astype("float32"))
    _, (derivative,) = backend.value_and_gradient(lambda w: ops.sum(objective.bound(w)), log_weights)
    share, _ = objective.shares(log_weights)
    np.testing.assert_allclose(ops.convert_to_numpy(share), ops.convert_to_numpy(derivative), rtol=1e-4)


def test_ciwae_ends_in_elbo_and_iwae():
    pca = model_of()
    for objective, expected in ((CIWAE(5, 1.0), ELBO(5)), (CIWAE(5, 0.0), IWAE(5))):
        for a, b in zip(gradients(pca.model, objective, pca.x), gradients(pca.model, expected, pca.x), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_objectives_can_be_switched_midway():
    """Burda et al. 2016, table 2: the same weights, trained on with the other objective."""
    model, x = small_vae(), binary_images()
    model.fit(x, epochs=2, verbose=0)
    before = model.get_weights()
    model.compile("sgd", objective=IWAE(5))
    for a, b in zip(before, model.get_weights(), strict=True):
        if a.dtype == "float32":
            np.testing.assert_array_equal(a, b)
    assert np.isfinite(model.fit(x, epochs=2, verbose=0).history["bound"]).all()


BAD = {
    "ELBO, closed-form KL, stl": (lambda: ELBO(analytic_kl=True, gradient="stl"), "closed-form KL has not"),
    "unknown gradient": (lambda: IWAE(5, gradient="reinforce"), "'pathwise', 'stl', 'dreg'"),
    "PIWAE, stl": (lambda: PIWAE(2, 3, gradient="stl"), "'pathwise', 'dreg'"),
    "no groups": (lambda: MIWAE(0, 3), "groups"),
    "negative free bits": (lambda: ELBO(free_bits=-0.1), "number of nats, 0 or more; received -0.1"),
    "free bits by name": (lambda: ELBO(free_bits="0.5"), "number of nats, 0 or more; received '0.5'"),
    "α out of range": (lambda: CIWAE(3, 1.5), r"\[0, 1\]"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_is_refused(kind):
    make, message = BAD[kind]
    with pytest.raises(ValueError, match=message):
        make()


def test_an_objective_shows_what_makes_it_again():
    for objective in (ELBO(2, beta=vk.objectives.WarmUp(5), gradient="stl"), CIWAE(3, elbo_weight=0.25), PIWAE(2, 3)):
        again = eval(repr(objective), vars(vk.objectives).copy())
        assert type(again) is type(objective) and again.get_config() == objective.get_config()


class Mean(IWAE):
    def bound(self, log_weights):
        return ops.mean(log_weights, axis=0)


class MeanWithShares(Mean):
    def shares(self, log_weights, beta=1.0):
        same = ops.ones_like(log_weights) / self.samples
        return same, same


class Renamed(MeanWithShares):
    pass


class BoundOfPIWAE(PIWAE):
    def bound(self, log_weights):
        return ops.max(log_weights, axis=0)


def test_a_bound_of_ones_own_is_not_differentiated_by_the_shares_of_another():
    for gradient in ("pathwise", "stl"):
        Mean(3, gradient=gradient)
    for kind in (MeanWithShares, Renamed, CIWAE):
        kind(3, gradient="dreg")
    with pytest.raises(ValueError, match=r'Mean has a bound of its own.* shares of MIWAE.*"pathwise"'):
        Mean(3, gradient="dreg")
    with pytest.raises(
        ValueError, match=r"shares of PIWAE, which belong to another bound\. Define shares\S+ beta\), too\.$"
    ):
        BoundOfPIWAE(2, 3)


# ---------------------------------------------------------------- discrete latents, by enumeration


class Coins(vk.priors.Prior):
    def distribution(self):
        return self.independent(backend.tfd.Bernoulli(logits=ops.zeros(self.shape), dtype="float32"))


def coins():
    """A model with two binary latents, weights of some size, and its log p(x, z), log q(z|x) at all four, `[4, B]`."""
    model = vk.VAE(vk.layers.Bernoulli(2), vk.layers.Bernoulli((2, 2, 1)), Coins(), seed=0)
    model.build((None, 2, 2, 1))
    rng = np.random.default_rng(2)
    for layer in (model.encoder, model.decoder):
        layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    x = binary_images(3, (2, 2, 1))

    def densities():
        states = [np.tile(np.float32(z), (3, 1)) for z in itertools.product((0, 1), repeat=2)]
        values = [{"x": ops.convert_to_tensor(x), "z": ops.convert_to_tensor(z)} for z in states]
        return ops.stack([model.log_p(v) for v in values]), ops.stack([model.log_q(v) for v in values])

    return model, x, densities


def vimco_surrogate(log_p, log_q):
    # L_2 = Σ_{z1, z2} q(z1) q(z2) log ½ (w1 + w2), whose gradient is exact
    log_w = ops.stack(
        [ops.broadcast_to(log_p - log_q, (4, 4, 3)), ops.broadcast_to((log_p - log_q)[:, None], (4, 4, 3))]
    )
    q = ops.exp(log_q)
    return -ops.sum(q[None] * q[:, None] * (ops.logsumexp(log_w, axis=0) - np.log(2)), axis=(0, 1))


def rws_surrogate(log_p, log_q):
    # E Σ_k ŵ_k ∇ (log p + log q): probabilities and shares are constants
    pair = lambda v: ops.stack([ops.broadcast_to(v, (4, 4, 3)), ops.broadcast_to(v[:, None], (4, 4, 3))])  # noqa: E731
    share, q = ops.stop_gradient(ops.softmax(pair(log_p - log_q), axis=0)), ops.stop_gradient(ops.exp(log_q))
    return -ops.sum(q[None] * q[:, None] * ops.sum(share * pair(log_p + log_q), axis=0), axis=(0, 1))


@pytest.mark.alternate
@pytest.mark.parametrize(
    "objective, surrogate", [(VIMCO(2), vimco_surrogate), (ReweightedWakeSleep(2), rws_surrogate)], ids=["vimco", "rws"]
)
def test_discrete_latents_have_the_gradient_of_enumeration(objective, surrogate):
    model, x, densities = coins()
    weights = [*model.encoder.trainable_variables, *model.decoder.trainable_variables]
    _, exact = backend.variables_gradient(lambda: ops.mean(surrogate(*densities())), weights)
    exact = [ops.convert_to_numpy(g).ravel() for g in exact]
    for side, drawn in zip((exact[:2], exact[2:]), gradients(model, objective, x, repeats=2000), strict=True):
        error = drawn.std(axis=0) / np.sqrt(len(drawn))
        assert np.all(np.abs(drawn.mean(axis=0) - np.concatenate(side)) < 5 * error + 1e-6)


def test_reweighted_wake_sleep_reports_the_bound_and_sleeps():
    model, x, _ = coins()
    for objective, terms in {
        ReweightedWakeSleep(4): {"bound", "reconstruction", "kl"},
        ReweightedWakeSleep(4, sleep=0.5): {"bound", "reconstruction", "kl", "sleep"},
    }.items():
        model.compile("sgd", objective=objective)
        result = model.evaluate(x, seed=0, verbose=0)
        assert set(result) == {"loss", *terms}
        model.compile("sgd", objective=VIMCO(4))
        if "sleep" not in terms:
            assert result["bound"] == pytest.approx(model.evaluate(x, seed=0, verbose=0)["bound"], rel=1e-6)
    with pytest.raises(ValueError, match="at least 2 samples"):
        VIMCO(1)
    with pytest.raises(ValueError, match=r"sleep in \[0, 1\]"):
        ReweightedWakeSleep(4, sleep=2)


def classes(continuous, order=("y", "z")):
    """A model of three classes with p(label|y), of weight 3, and with p(z) and q(z|x, y) if `continuous`; and data."""
    normal, label = vk.layers.DiagonalNormal, vk.layers.Masked(vk.layers.OneHotCategorical(3))
    z = [vk.Factor("z", vk.priors.StandardNormal())] if continuous else []
    p = [vk.Factor("y", vk.priors.Classes()), *z]
    given = ("y", "z") if continuous else "y"
    p += [vk.Factor("x", vk.layers.Stack([vk.layers.Bernoulli(4)]), given=given)]
    p += [vk.Factor("label", label, given="y", weight=3)]
    q = {
        "y": vk.Factor("y", vk.layers.OneHotCategorical(3), given="x"),
        "z": vk.Factor("z", vk.layers.Stack([normal(2)]), given=("x", "y") if order[0] == "y" else "x"),
    }
    model = vk.LatentVariableModel(p, [q[name] for name in (order if continuous else "y")], seed=0)
    x = binary_images(4, (4,))
    data = {"x": x, "label": np.eye(3, dtype="float32")[[0, 1, 2, 2]]}
    data["label"][1:3] = np.nan
    model.build({name: value.shape for name, value in data.items()})
    rng = np.random.default_rng(3)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(size=weight.shape))
    return model, data


def test_a_sum_over_classes_is_the_elbo_and_its_gradient():
    model, data = classes(continuous=False)
    tensors = {name: ops.convert_to_tensor(value) for name, value in data.items()}

    def by_hand(weight):
        total = 0.0
        for y in np.eye(3, dtype="float32"):
            values = {**tensors, "y": ops.convert_to_tensor(np.tile(y, (4, 1)))}
            factors = model.given(tensors, sides="p").log_factors({"y": values["y"][None]})
            log_p = sum((weight if name == "label" else 1) * value[0] for name, value in factors.items())
            log_q = model.log_q(values)
            total = total + ops.exp(log_q) * (log_p - log_q)
        return total  # [B]

    objective, weights = EnumeratedELBO("y"), model.trainable_variables
    loss, terms = objective(model, tensors, 0, False)
    np.testing.assert_allclose(ops.convert_to_numpy(loss), -ops.convert_to_numpy(by_hand(3.0)), rtol=1e-4)
    np.testing.assert_allclose(ops.convert_to_numpy(terms["bound"]), ops.convert_to_numpy(by_hand(1.0)), rtol=1e-4)
    bound = terms["reconstruction_x"] + terms["reconstruction_label"] - terms["kl"]
    np.testing.assert_allclose(ops.convert_to_numpy(bound), ops.convert_to_numpy(terms["bound"]), rtol=1e-4)
    assert not ops.convert_to_numpy(terms["reconstruction_label"])[1:3].any()  # no label there
    _, found = backend.variables_gradient(lambda: ops.mean(objective(model, tensors, 0, False)[0]), weights)
    _, exact = backend.variables_gradient(lambda: -ops.mean(by_hand(3.0)), weights)
    for a, b in zip(found, exact, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(a), ops.convert_to_numpy(b), rtol=1e-3, atol=1e-5)


def test_a_sum_over_classes_with_another_latent_is_the_elbo_on_average(tmp_path):
    model, data = classes(continuous=True)
    drawn = model.log_weights(data, 4000, seed=0)  # y ~ q(y|x), z ~ q(z|x, y)
    rows = {name: np.repeat(value, 500, axis=0) for name, value in data.items()}
    summed = vk.evaluation.terms(model, rows, EnumeratedELBO("y"), batch_size=2000)["bound"].reshape(4, 500)
    error = np.hypot(drawn.std(axis=0) / np.sqrt(4000), summed.std(axis=1) / np.sqrt(500))
    assert np.all(np.abs(drawn.mean(axis=0) - summed.mean(axis=1)) < 5 * error)
    model.compile("sgd", objective=EnumeratedELBO("y", beta=0.5))
    assert np.isfinite(model.fit(data, verbose=0).history["loss"]).all()
    model.save(tmp_path / "model.keras")
    loaded = vk.load(tmp_path / "model.keras")
    assert loaded.objective.get_config() == {"latent": "y", "beta": 0.5}
    assert loaded.evaluate(data, seed=0, verbose=0) == pytest.approx(model.evaluate(data, seed=0, verbose=0), rel=1e-5)


def test_a_sum_over_classes_trains_on_an_array():
    layer = vk.layers.OneHotCategorical
    x = binary_images(5, (4,))

    def model(prior, shape):
        decoder = vk.layers.Stack([keras.layers.Flatten(), vk.layers.Bernoulli(4)])
        p = [vk.Factor("y", prior), vk.Factor("x", decoder, given="y")]
        model = vk.LatentVariableModel(p, [vk.Factor("y", layer(shape), given="x")], seed=0)
        model.compile("sgd", objective=EnumeratedELBO("y"))
        return model

    assert np.isfinite(model(vk.priors.Classes(), 3).fit(x, batch_size=2, verbose=0).history["loss"]).all()
    with pytest.raises(ValueError, match=r"one label, a one-hot vector; 'y' has shape \[2, 3\]"):
        model(vk.priors.IndependentSteps(vk.priors.Classes()), (2, 3)).fit(x, verbose=0)


def test_a_sum_over_classes_refuses_what_has_none():
    model, data = classes(continuous=True, order=("z", "y"))
    for latent, message in {"y": r"that q has first.*are \('z', 'y'\)", "z": "let its network end in"}.items():
        model.compile("sgd", objective=EnumeratedELBO(latent))
        with pytest.raises(ValueError, match=message):
            model.fit(data, verbose=0)
    with pytest.raises(ValueError, match="name of a latent"):
        EnumeratedELBO(3)


# ---------------------------------------------------------------- weights of factors


def test_doubly_reparameterized_gradients_know_the_weight_of_a_latent():
    pca = model_of()
    factors = [vk.Factor(f.name, f.layer, f.given, weight=3 if f.name == "z" else 1) for f in pca.model.generative]
    model = vk.LatentVariableModel(factors, pca.model.inference, seed=0)
    model.build((None, 6))
    q, p = gradients(model, IWAE(4), pca.x[:5], repeats=400)
    q_dreg, p_dreg = gradients(model, IWAE(4, gradient="dreg"), pca.x[:5], repeats=400, seed=1)
    close_in_mean(q, q_dreg)
    close_in_mean(p, p_dreg)


def test_a_factors_weight_counts_in_the_loss_alone():
    x, y = binary_images(12, (2, 2, 1)), np.random.default_rng(0).normal(size=(12, 3)).astype("float32")

    def model_with(weight_y, weight_z, objective):
        model = vk.LatentVariableModel(
            [
                vk.Factor("z", vk.priors.LearnedNormal(), weight=weight_z),
                vk.Factor("x", vk.layers.Bernoulli((2, 2, 1)), given="z"),
                vk.Factor("y", vk.layers.Normal(3), given="z", weight=weight_y),
            ],
            [vk.Factor("z", vk.layers.DiagonalNormal(2), given="x")],
            seed=0,
        )
        model.build({"x": (None, 2, 2, 1), "y": (None, 3)})
        rng = np.random.default_rng(1)
        model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
        model.compile("sgd", objective=objective)
        return model, model.evaluate({"x": x, "y": y}, seed=0, verbose=0)

    _, plain = model_with(1, 1, ELBO(2))
    model, weighted = model_with(3, 0.5, ELBO(2))
    for name in ("bound", "reconstruction", "reconstruction_x", "reconstruction_y", "kl"):
        assert weighted[name] == pytest.approx(plain[name], rel=1e-6)
    expected = -(plain["reconstruction_x"] + 3 * plain["reconstruction_y"] - 0.5 * plain["kl"])
    assert weighted["loss"] == pytest.approx(expected, rel=1e-5)
    assert weighted["reconstruction_x"] + weighted["reconstruction_y"] == pytest.approx(weighted["reconstruction"])
    assert model_with(3, 0.5, IWAE(1))[1]["loss"] == pytest.approx(model_with(3, 0.5, ELBO(1))[1]["loss"], rel=1e-5)
    again = vk.LatentVariableModel.from_config(model.get_config())
    assert [factor.weight for factor in again.generative] == [0.5, 1.0, 3]
    with pytest.raises(ValueError, match="positive weight"):
        vk.Factor("x", vk.layers.Normal(3), given="z", weight=0)


# ---------------------------------------------------------------- free bits


@pytest.mark.alternate
@pytest.mark.parametrize("order, analytic_kl", [("bottom-up", False), ("top-down", True)])
def test_free_bits_are_a_floor_for_each_latents_kl_and_its_gradient_vanishes_below(order, analytic_kl):
    model, x = two_latents(order), binary_images(12)
    model.build((None, *x.shape[1:]))
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(scale=0.5, size=weight.shape))
    data, state = model.observe(x), model.seed_generator.state

    def measure(objective):
        """The batch's loss, its terms, and the gradient of the loss for every weight."""

        def mean_loss_and_terms():
            state.assign(ops.cast([0, 0], state.dtype))  # the same noise each time
            loss, terms = objective(model, data, 0, training=True)
            return ops.mean(loss), {name: ops.mean(term) for name, term in terms.items()}

        def run():
            terms = mean_loss_and_terms()[1]
            return terms, *backend.variables_gradient(lambda: mean_loss_and_terms()[0], model.trainable_variables)

        terms, loss, gradient = backend.compile(run, model.variables)()
        terms = {name: float(term) for name, term in terms.items()}
        return float(loss), terms, np.concatenate([ops.convert_to_numpy(g).ravel() for g in gradient])

    options = dict(samples=2, analytic_kl=analytic_kl)
    loss, terms, whole = measure(ELBO(**options))
    _, _, reconstruction = measure(ELBO(beta=0, **options))
    low, high = sorted((terms["kl_z1"], terms["kl_z2"]))
    assert 0 < low < high - 0.5
    results = {floor: measure(ELBO(free_bits=floor, **options)) for floor in (low / 2, (low + high) / 2, high + 3)}
    for floor, (value, reported, _) in results.items():
        assert reported == pytest.approx(terms, rel=1e-5)  # the bound itself
        assert value == pytest.approx(-terms["reconstruction"] + max(floor, low) + max(floor, high), rel=1e-5)
    below, between, above = (gradient for *_, gradient in results.values())
    np.testing.assert_allclose(below, whole, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(above, reconstruction, rtol=1e-4, atol=1e-6)
    # that of one latent's KL alone is missing between: a difference of weighted models' gradients
    dead = min(("z1", "z2"), key=lambda name: terms[f"kl_{name}"])
    factors = [vk.Factor(f.name, f.layer, f.given, 1e-9 if f.name == dead else 1.0) for f in model.generative]
    model = vk.LatentVariableModel(factors, model.inference, seed=0)
    model.build((None, *x.shape[1:]))
    state = model.seed_generator.state
    np.testing.assert_allclose(between, measure(ELBO(**options))[2], rtol=1e-4, atol=1e-6)
    assert loss == pytest.approx(-terms["bound"], rel=1e-5)


def test_free_bits_count_the_mean_over_the_batch_and_are_weighted():
    """Twice the exact KL by hand; half of the examples may lie below the floor where their mean does not."""
    pca = model_of()
    data, x = pca.model.observe(pca.x), pca.x
    mean = (x - pca.b) @ np.linalg.solve(pca.M, pca.W.T).T / pca.sigma**2 + pca.shift
    variance = np.diag(np.linalg.inv(pca.M)) * pca.stretch**2
    kl = 0.5 * np.sum(mean**2 + variance - 1 - np.log(variance), axis=1)  # [N]
    floor = kl.mean() - 0.1
    assert (kl < floor).mean() > 0.3
    for free_bits, counts in ((0.0, kl), (floor, kl), (floor + 1, np.full(len(kl), floor + 1))):
        loss, terms = ELBO(analytic_kl=True, beta=0.5, free_bits=free_bits)(pca.model, data, 0, training=False)
        loss, terms = ops.convert_to_numpy(loss), {name: ops.convert_to_numpy(v) for name, v in terms.items()}
        np.testing.assert_allclose(loss, -terms["reconstruction"] + 0.5 * counts, rtol=1e-4)
        np.testing.assert_allclose(terms["kl"], kl, rtol=1e-4)
        np.testing.assert_allclose(terms["bound"], terms["reconstruction"] - kl, rtol=1e-4, atol=1e-4)
    units = 0.5 * (mean**2 + variance - 1 - np.log(variance))  # [N, L]
    floor = units.mean(axis=0).mean()
    counts = np.where(units.mean(axis=0) < floor, floor, units).sum(axis=1)
    loss, terms = ELBO(analytic_kl=True, free_bits=floor, free_bits_of="unit")(pca.model, data, 0, training=False)
    loss, terms = ops.convert_to_numpy(loss), {name: ops.convert_to_numpy(v) for name, v in terms.items()}
    np.testing.assert_allclose(loss, -terms["reconstruction"] + counts, rtol=1e-4)
    np.testing.assert_allclose(terms["kl"], kl, rtol=1e-4)
    objective = ELBO.from_config(ELBO(2, free_bits=0.25).get_config())
    assert objective.free_bits == 0.25
    assert ELBO.from_config({"samples": 3, "beta": 1.0}).free_bits == 0  # as files before it say


@pytest.mark.alternate
@pytest.mark.parametrize("options", [{}, {"gradient": "score_function"}, {"analytic_kl": True}], ids=str)
def test_free_bits_of_units_add_up_to_those_of_latents(options):
    """Under a floor that no unit reaches each counts λ; above one that all do, their sum is the KL."""
    model, x = two_latents("top-down"), binary_images(12)
    model.build((None, *x.shape[1:]))
    units = sum(model.event_shapes[name][0] for name in model.latents)

    def counted(**floor):
        model.seed_generator.state.assign(ops.cast([0, 0], model.seed_generator.state.dtype))
        loss, terms = ELBO(2, **floor, **options)(model, model.observe(x), 0, training=False)
        return float(ops.mean(loss + terms["reconstruction"]))

    high, low = (counted(free_bits=floor, free_bits_of="unit") for floor in (50.0, 1e-9))
    assert high == pytest.approx(50 * units, rel=1e-5)
    if "analytic_kl" in options:
        assert low == pytest.approx(counted(), rel=1e-4)
    else:  # a unit whose estimate is negative counts 0
        assert low >= counted() - 1e-4


@pytest.mark.once
def test_free_bits_of_units_say_what_they_need():
    assert ELBO.from_config(ELBO(free_bits=1.0, free_bits_of="unit").get_config()).free_bits_of == "unit"
    with pytest.raises(ValueError, match='"latent" or "unit"'):
        ELBO(free_bits_of="pixel")
    with pytest.raises(ValueError, match="goes with gradient"):
        ELBO(free_bits_of="unit", gradient="stl")
    model, x = small_vae(prior=vk.priors.MixtureOfNormals(2)), binary_images(12)
    with pytest.raises(ValueError, match="units that are independent"):
        ELBO(free_bits=1.0, free_bits_of="unit")(model, model.observe(x), 0, training=False)
