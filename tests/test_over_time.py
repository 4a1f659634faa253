"""Sequences as factors in time: the Kalman filter's log p(x), causality by gradients, and draws step by step."""

import json

import keras
import numpy as np
import pytest
from keras import ops
from networks import array, normal, randomize

import vaekit as vk
from vaekit import backend
from vaekit.backend import tfd
from vaekit.layers import Bernoulli, DiagonalNormal, Hold, Normal, Stack, TimeDistributed
from vaekit.layers.over_time import OverTime
from vaekit.layers.stepping import check_causality, first_states, step

L = keras.layers
T = 5


def recurrent(head, units=4, layer=L.LSTM, known=0):
    return Stack([layer(units, return_sequences=True), TimeDistributed(head, known=known)], over_time=True)


# ---------------------------------------------------------------- a linear state-space model


class StateSpace:
    r"""z_t = a z_{t−1} + s ε, x_t = c z_t + r η, z_0 = 0; log p(x) by the Kalman filter, p(z|x) by one run backwards.

    $p(z_t | z_{t-1}, x_{t:T}) = N(v_t (a z_{t-1} / s^2 + h_t), v_t)$, with
    $1/v_t = 1/s^2 + l_t$ and the information that is to come, $l_t = c^2/r^2 + a^2 l_{t+1} / (1 + s^2 l_{t+1})$,
    $h_t = c x_t / r^2 + a h_{t+1} / (1 + s^2 l_{t+1})$.
    """

    a, s, c, r = 0.8, 0.5, 1.3, 0.4

    def draw(self, n, rng):
        z, xs = np.zeros(n), []
        for _ in range(T):
            z = self.a * z + self.s * rng.normal(size=n)
            xs.append(self.c * z + self.r * rng.normal(size=n))
        return np.stack(xs, 1)[..., None].astype("float32")

    def log_p(self, x):
        mean, variance, total = np.zeros(len(x)), 0.0, 0.0
        for x_t in np.moveaxis(x[..., 0].astype("float64"), 1, 0):
            mean, variance = self.a * mean, self.a**2 * variance + self.s**2
            spread = self.c**2 * variance + self.r**2
            error = x_t - self.c * mean
            total = total - 0.5 * (np.log(2 * np.pi * spread) + error**2 / spread)
            gain = variance * self.c / spread
            mean, variance = mean + gain * error, (1 - gain * self.c) * variance
        return total

    def information(self):
        """l_t, array [T + 1]."""
        info = np.zeros(T + 1)
        for t in reversed(range(T)):
            info[t] = self.c**2 / self.r**2 + self.a**2 * info[t + 1] / (1 + self.s**2 * info[t + 1])
        return info

    def model(self, shift=0.0):
        """q is the exact posterior, its means moved by `shift`."""
        transition, emission = TimeDistributed(DiagonalNormal(1)), TimeDistributed(Normal(1, scale=self.r))
        model = vk.LatentVariableModel(
            features=[vk.Feature("h", Backwards(self.coefficients()), given="x")],
            generative=[vk.Factor("z", transition, given=vk.past("z")), vk.Factor("x", emission, given="z")],
            inference=[vk.Factor("z", Stack([TimeDistributed(Posterior(shift))]), given=("h", vk.past("z")))],
            seed=0,
        )
        model.build((None, T, 1))
        transition.network.heads["mean"].set_weights([np.array([[self.a]]), np.zeros(1)])
        transition.network.heads["log_variance"].set_weights([np.zeros((1, 1)), np.array([2 * np.log(self.s)])])
        emission.network.heads["mean"].set_weights([np.array([[self.c]]), np.zeros(1)])
        return model

    def coefficients(self):
        """(v_t a / s², the matrix by which v_t h_t comes of x, v_t)."""
        info = self.information()
        v = 1 / (1 / self.s**2 + info[:T])
        h = np.zeros((T, T))  # h_t = Σ_s h[t, s] x_s
        for t in reversed(range(T)):
            h[t, t] = self.c / self.r**2
            if t + 1 < T:
                h[t] += self.a * h[t + 1] / (1 + self.s**2 * info[t + 1])
        return v * self.a / self.s**2, v[:, None] * h, v


class Backwards(keras.layers.Layer):
    """h = (what x says, what z_{t−1} counts, v) for each step, `[N, T, 3]`: it sees the future."""

    def __init__(self, coefficients):
        super().__init__()
        self.coefficients = [np.asarray(c, "float32") for c in coefficients]

    def call(self, x):
        past, matrix, v = self.coefficients
        said = ops.einsum("ts,ns->nt", matrix, x[..., 0])
        return ops.stack([said, said * 0 + past, said * 0 + v], axis=-1)


class Posterior(vk.layers.DistributionLayer):
    """Turns (what x says, what z_{t−1} counts, v, z_{t−1}) into N(said + counts · z_{t−1}, v)."""

    def __init__(self, shift):
        super().__init__(1)
        self.shift = shift

    def build(self, input_shape):
        pass

    def call(self, inputs, training=False):
        said, counts, v, z = ops.split(inputs, 4, axis=-1)
        return self.independent(tfd.Normal(said + counts * z + self.shift, ops.sqrt(v)))


SYSTEM = StateSpace()
X = SYSTEM.draw(6, np.random.default_rng(0))


def test_each_weight_at_the_exact_posterior_is_the_kalman_filters_log_p():
    log_weights = SYSTEM.model().log_weights(X, samples=3, seed=1)  # [3, N]
    np.testing.assert_allclose(log_weights, np.broadcast_to(SYSTEM.log_p(X), log_weights.shape), atol=2e-4)


def test_another_posterior_gives_a_bound_below_it_and_importance_samples_close_the_gap():
    model, truth = SYSTEM.model(shift=0.2), SYSTEM.log_p(X)
    few = model.log_weights(X, samples=400, seed=1).mean(axis=0)
    assert (few < truth - 0.1).all()
    weights = np.exp(SYSTEM.model(shift=0.1).log_weights(X, samples=4000, seed=2) - truth)  # of mean 1
    assert (np.abs(weights.mean(axis=0) - 1) < 5 * weights.std(axis=0) / np.sqrt(4000)).all()


def test_draws_of_the_state_space_model_have_its_covariance():
    draws = SYSTEM.model().sample(4000, seed=3)[..., 0].astype("float64")  # [n, T]
    at = np.arange(T)
    variance = SYSTEM.s**2 * np.cumsum(SYSTEM.a ** (2.0 * at))  # of z_t
    earlier, apart = np.minimum.outer(at, at), np.abs(np.subtract.outer(at, at))
    truth = SYSTEM.c**2 * SYSTEM.a**apart * variance[earlier] + SYSTEM.r**2 * np.eye(T)
    error = np.sqrt((np.outer(np.diag(truth), np.diag(truth)) + truth**2) / 4000)  # standard error of each entry
    assert (np.abs(draws.T @ draws / 4000 - truth) < 5 * error).all()


# ---------------------------------------------------------------- models of all kinds


def video(known=0, skips=True):
    """SVG in small: encoded frames, a learned prior, skips from the last known frame."""
    inputs = [keras.Input((None, 3)), keras.Input((None, 6)), keras.Input((None, 2))]
    h = L.Concatenate()([inputs[0], inputs[2]])
    h = L.LSTM(4, return_sequences=True)(L.Dense(5)(h))
    h = L.Concatenate()([h, Hold(2)(inputs[1])]) if skips else h
    decoder = keras.Model(inputs, TimeDistributed(Normal((2, 2, 1), scale="shared"), known=np.int64(known))(h))
    frame = keras.Input((2, 2, 1))
    flat = L.Flatten()(frame)
    encoder = keras.Model(frame, [L.Dense(3, "tanh")(flat), L.Dense(6)(flat)])
    model = vk.LatentVariableModel(
        features=[vk.Feature(("h", "skip"), TimeDistributed(encoder), given="x")],
        generative=[
            vk.Factor("z", recurrent(DiagonalNormal(2), known=known), given=vk.past("h")),
            vk.Factor("x", decoder, given=(vk.past("h"), vk.past("skip"), "z")),
        ],
        inference=[vk.Factor("z", recurrent(DiagonalNormal(2), known=known), given="h")],
        seed=0,
    )
    model.build((None, T, 2, 2, 1))
    for layer in model.networks:
        randomize(layer, 0.4)
    return model


def vrnn():
    """q(z_t | x_≤t, z_<t), p(z_t | x_<t, z_<t), p(x_t | x_<t, z_≤t)."""
    model = vk.LatentVariableModel(
        generative=[
            vk.Factor("z", recurrent(DiagonalNormal(2)), given=(vk.past("h"), vk.past("z"))),
            vk.Factor("x", recurrent(Normal((2, 2, 1))), given=(vk.past("h"), "z")),
        ],
        inference=[vk.Factor("z", recurrent(DiagonalNormal(2)), given=("h", vk.past("z")))],
        features=[vk.Feature("h", TimeDistributed(L.Flatten()), given="x")],
        seed=0,
    )
    model.build((None, T, 2, 2, 1))
    return model


def frames(n=3, length=T, seed=0):
    return normal(n, length, 2, 2, 1, seed=seed)


@pytest.mark.thorough
def test_no_frame_sees_itself_or_the_future_and_z_reaches_all_later_ones():
    model = video()
    x, z = frames(1), normal(1, T, 2, seed=1)

    def log_p(t, name):
        def of(x, z):
            given = model._given({"x": x}, sides="p")
            distributions, _ = given._generative({"z": z[None]}, 1)
            value = {"x": ops.stop_gradient(x), "z": ops.stop_gradient(z)}[name]
            return ops.sum(distributions[name].log_prob_steps(value)[:, t])

        return of

    for t in range(T):
        of_x, of_z = map(array, backend.value_and_gradient(log_p(t, "x"), x, z)[1])
        seen = np.abs(of_x).sum(axis=(0, 2, 3, 4)) > 0
        assert seen.tolist() == [s < t for s in range(T)], f"frame {t} sees {seen}"
        assert (np.abs(of_z).sum(axis=(0, 2)) > 0).tolist() == [s <= t for s in range(T)]
        of_x, of_z = map(array, backend.value_and_gradient(log_p(t, "z"), x, z)[1])
        assert (np.abs(of_x).sum(axis=(0, 2, 3, 4)) > 0).tolist() == [s < t for s in range(T)]
        assert not of_z.any()  # a prior of frames alone


@pytest.mark.once
def test_numbers_of_steps_are_integers_of_any_kind():
    layer = TimeDistributed(Normal(1), known=np.int64(1))
    json.dumps([layer.get_config()["known"], Hold(np.int64(1)).get_config()["after"]])
    with pytest.raises(ValueError, match="TimeDistributed expects known .* at least 0; received -1"):
        TimeDistributed(Normal(1), known=-1)
    with pytest.raises(ValueError, match="Hold expects after .* at least 0; received 1.5"):
        Hold(1.5)


def test_a_held_skip_comes_from_the_last_known_frame():
    x = normal(2, T, 3)
    held = array(Hold(np.int64(2))(x))
    np.testing.assert_array_equal(held[:, :3], x[:, :3])
    np.testing.assert_array_equal(held[:, 3:], np.repeat(x[:, 2:3], T - 3, axis=1))
    np.testing.assert_array_equal(array(Hold(9)(x)), x)


def functional():
    x, z = keras.Input((None, 3)), keras.Input((None, 2))
    h = L.Conv1D(4, 3, padding="causal", dilation_rate=2)(L.Concatenate()([x, z]))
    h = L.Add()([h, L.GRU(4, return_sequences=True)(h)])
    return keras.Model([x, z], TimeDistributed(keras.Sequential([L.Dense(6, "tanh"), L.Reshape((3, 2))]))(Hold(1)(h)))


NETWORKS = {
    "lstm": lambda: keras.Sequential([L.LSTM(4, return_sequences=True), L.LSTM(3, return_sequences=True)]),
    "simple": lambda: keras.Sequential([L.Dense(4), L.SimpleRNN(3, return_sequences=True), L.LayerNormalization()]),
    "cells": lambda: L.RNN(L.StackedRNNCells([L.GRUCell(3), L.LSTMCell(2)]), return_sequences=True),
    "convolutions": lambda: keras.Sequential(
        [L.Conv1D(4, 2, padding="causal", activation="relu"), L.Conv1D(2, 3, padding="causal", dilation_rate=2)]
    ),
    "skips": lambda: Stack([L.GRU(4, return_sequences=True), L.Dense(3, "tanh")], skip=True, over_time=True),
    "functional": functional,
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_step_by_step_gives_what_the_whole_sequence_gives(kind):
    network = NETWORKS[kind]()
    x, z, y = normal(2, T, 3), normal(2, T, 2, seed=1), normal(2, 4, seed=2)
    inputs = {"skips": [x, z, y], "functional": [x, z]}.get(kind, x)
    whole = array(network(inputs))
    randomize(network, 0.5)
    whole = array(network(inputs))

    def at(t):
        one = lambda v: v[:, t : t + 1] if v.ndim == 3 else v  # noqa: E731
        return [one(v) for v in inputs] if isinstance(inputs, list) else one(inputs)

    states = first_states(network, at(0))
    for t in range(T):
        output, states = step(network, at(t), states, t)
        np.testing.assert_allclose(array(output)[:, 0], whole[:, t], atol=1e-5)


@pytest.mark.parametrize("make", [video, vrnn], ids=["video", "vrnn"])
def test_a_drawn_sequences_density_is_that_of_the_whole(make):
    """Draws whose later frames are the means given the earlier ones are the teacher-forced means, bit by bit almost."""
    model = make()
    values = model.draw(3, seed=1, means=("x",))
    trace_means = model.given({"x": values["x"]}, sides="p")._generative({"z": values["z"][None]}, 1)[0]["x"].mean()
    np.testing.assert_allclose(array(values["x"]), array(trace_means), atol=1e-5)


@pytest.mark.alternate
@pytest.mark.parametrize("make", [video, vrnn], ids=["video", "vrnn"])
def test_futures_repeat_their_past_and_differ_after_it(make):
    """One model continues pasts of any length."""
    model, x = make(), frames(4)
    for past in (3, 1, T):
        futures = model.futures(x[:, :past], n=2, length=T + 1, seed=1, batch_size=3)  # [2, 4, T + 1, ...]
        assert futures.shape == (2, 4, T + 1, 2, 2, 1)
        np.testing.assert_array_equal(futures[:, :, :past], np.broadcast_to(x[:, :past], (2, 4, past, 2, 2, 1)))
        assert (np.abs(futures[0, :, past:] - futures[1, :, past:]) > 1e-4).any()
        np.testing.assert_array_equal(futures, model.futures(x[:, :past], n=2, length=T + 1, seed=1, batch_size=3))


def test_futures_of_few_sequences_are_drawn_together():
    """Five of each of two, two of each at a time: all of them differ, and each goes on from its own past."""
    model, x = video(), frames(2)
    futures = model.futures(x[:, :2], n=5, seed=1, batch_size=4)
    assert futures.shape == (5, 2, T, 2, 2, 1)
    np.testing.assert_array_equal(futures[:, :, :2], np.broadcast_to(x[:, :2], (5, 2, 2, 2, 2, 1)))
    assert len(np.unique(futures[:, :, -1, 0, 0, 0])) == 10


def test_more_steps_than_the_future_has_are_refused():
    with pytest.raises(ValueError, match="5 steps are given, more than the 4"):
        video().futures(frames(), length=4)
    vae = vk.VAE(DiagonalNormal(2), Normal(3))
    vae.build((None, 3))
    with pytest.raises(ValueError, match="of which this model has none"):
        vae.futures(normal(2, 3))


# ---------------------------------------------------------------- known steps, lengths, evaluation


def test_known_steps_cost_nothing_and_have_to_be_given():
    model, x = video(known=2), frames()
    steps = vk.evaluation.by_step(model, x, samples=3)
    assert not steps.kl[:, :2].any() and not steps.reconstruction[:, :2].any()
    assert (steps.kl[:, 2:] > 0).all() and steps.known == 2
    trace = model.trace(x, samples=1, seed=0)
    assert not array(trace.values["z"])[0, :, :2].any()
    with pytest.raises(ValueError, match=r"given its first 2 steps: draw by model.futures\(x\[:, :2\]\)"):
        model.sample(2)
    with pytest.raises(ValueError, match="given their first 2 steps; there are 1"):
        model.futures(x[:, :1])
    assert model.futures(x[:, :2]).shape == (1, 3, T, 2, 2, 1)


def test_the_steps_add_up_to_the_bound():
    model, x = video(), frames()
    steps = vk.evaluation.by_step(model, x, samples=1, seed=3)
    terms = vk.evaluation.terms(model, x, vk.objectives.ELBO(analytic_kl=True), seed=3)
    np.testing.assert_allclose(steps.kl.sum(axis=1), terms["kl"], rtol=1e-5)  # in closed form: of no draw
    assert steps.kl.shape == (3, T) and (steps.kl >= 0).all()
    many = vk.evaluation.by_step(model, x, samples=2000, seed=4)
    bound = model.log_weights(x, 2000, seed=5)
    error = 5 * np.sqrt(2) * bound.std(axis=0) / np.sqrt(2000)
    assert (np.abs(many.per_example - bound.mean(axis=0)) < error).all()
    np.testing.assert_allclose(many.per_step, many.per_example / T)
    assert many.bits_per_dimension == pytest.approx(-many.per_example.mean() / (T * 4 * np.log(2)))


def test_the_kl_of_a_posterior_given_its_past_is_estimated():
    model, x = SYSTEM.model(shift=0.2), X
    steps = vk.evaluation.by_step(model, x, samples=500)
    np.testing.assert_allclose(steps.per_example, model.log_weights(x, 2000, seed=1).mean(axis=0), atol=0.25)


def test_shorter_and_longer_sequences_go_through_the_same_model():
    model, x = video(), frames(length=T + 2)
    whole = vk.evaluation.by_step(model, x)
    short = vk.evaluation.by_step(model, x[:, :3])
    np.testing.assert_allclose(whole.kl[:, :3], short.kl, rtol=1e-4)  # a filter: what comes later changes nothing
    model.compile("sgd")
    model.fit(x, epochs=1, verbose=0)
    assert model.reconstruct(x).shape == x.shape and model.encode(x[:, :2]).shape == (3, 2, 2)
    costs = [model.evaluate(x[:, :steps], seed=0)["loss"] for steps in (T + 2, 3)]  # one program after the other
    assert np.isfinite(costs).all() and costs[1] < costs[0]


def test_q_and_p_know_the_same_steps():
    def build(q, p):
        prior = vk.Factor("z", recurrent(DiagonalNormal(2), known=p), given=vk.past("x"))
        decoder = vk.Factor("x", recurrent(Normal(3)), given=(vk.past("x"), "z"))
        return vk.LatentVariableModel([prior, decoder], [vk.Factor("z", recurrent(DiagonalNormal(2), known=q), "x")])

    build(1, 1)
    for q, p in ((1, 0), (0, 1)):
        with pytest.raises(ValueError, match=f"{q} steps are known in q and {p} in p"):
            build(q, p)


def test_one_number_a_step_has_an_axis_of_its_own():
    decoder = recurrent(Normal(1))
    model = vk.LatentVariableModel(
        generative=[
            vk.Factor("z", recurrent(DiagonalNormal(2)), given=vk.past("x")),
            vk.Factor("x", decoder, given=(vk.past("x"), "z")),
        ],
        inference=[vk.Factor("z", recurrent(DiagonalNormal(2)), given="x")],
    )
    with pytest.raises(ValueError, match="an axis of its own"):
        model.build((None, 5))


def test_gaps_in_a_time_series():
    filled = vk.Feature("f", vk.layers.FillMissing(), given="x")
    gaps = recurrent(vk.layers.Masked(Normal(3)))
    model = vk.LatentVariableModel(
        generative=[
            vk.Factor("z", recurrent(DiagonalNormal(2)), given=vk.past("f")),
            vk.Factor("x", gaps, given=(vk.past("f"), "z")),
        ],
        inference=[vk.Factor("z", recurrent(DiagonalNormal(2)), given="f")],
        features=[filled],
    )
    x = np.random.default_rng(0).normal(size=(4, 3, 3)).astype("float32")
    x[1, 0, 2] = x[2, 1] = np.nan
    steps = vk.evaluation.by_step(model, x)
    assert steps.reconstruction[2, 1] == 0 and np.isfinite(steps.per_example).all()
    assert steps.dimensions == np.count_nonzero(~np.isnan(x)) / (4 * 3)  # numbers a step
    assert np.isfinite(model.futures(x[:, :2])[..., 2:, :]).all()


def test_a_prior_of_independent_steps_is_the_normal_one():
    prior = vk.priors.IndependentSteps(vk.priors.StandardNormal(), known=1)
    prior.build((T, 2))
    z = normal(3, T, 2)
    p = prior.distribution()
    expected = np.sum(-0.5 * z[:, 1:] ** 2 - 0.5 * np.log(2 * np.pi), axis=(1, 2))
    np.testing.assert_allclose(array(p.log_prob(z)), expected, rtol=1e-5)
    steps = tfd.Normal(np.full((3 * (T - 1), 2), 2.0, "float32"), np.float32(1))
    q = OverTime(tfd.Independent(steps, reinterpreted_batch_ndims=1), ops.convert_to_tensor(z), 1)
    np.testing.assert_allclose(array(tfd.kl_divergence(q, p)), np.full(3, (T - 1) * 4.0), rtol=1e-5)
    assert not array(p.sample(3, seed=backend.seed(0)))[:, 0].any()


def test_the_optimal_sigma_of_video_is_over_batch_frames_and_pixels():
    head = Normal((2, 2, 1), scale="optimal")
    layer, features, x = TimeDistributed(head, known=1), normal(3, T, 2, 2, 1), frames()
    distribution = layer(features, training=True)
    distribution.log_prob(x)
    error = array(head.heads["mean"](features[:, 1:])) - x[:, 1:]
    assert float(array(head.running_variance)) == pytest.approx(np.mean(error**2), rel=1e-5)


# ---------------------------------------------------------------- what is refused


def _functional(f):
    inputs = keras.Input((T, 3))
    return keras.Model(inputs, f(inputs))


@pytest.mark.parametrize(
    "network",
    {
        "another axis' end": lambda: _functional(lambda x: L.Concatenate(axis=-2)([x, x])),
        "normalized over time": lambda: keras.Sequential([L.LayerNormalization(axis=[1, 2])]),
        "attention": lambda: _functional(lambda x: L.Dot(axes=2)([x, x])),
        "an operation": lambda: _functional(lambda x: x - ops.mean(x, axis=1, keepdims=True)),
        "a sum so far, of which a step knows nothing": lambda: _functional(lambda x: ops.cumsum(x, axis=1)),
        "the last state": lambda: _functional(lambda x: L.GRU(3, return_sequences=True, return_state=True)(x)[1]),
        "weights of steps": lambda: _functional(L.EinsumDense("abc,bd->adc", output_shape=(T, 3))),
        "slopes of steps": lambda: _functional(L.PReLU()),
        "axes swapped": lambda: _functional(lambda x: ops.swapaxes(L.Dense(T)(ops.swapaxes(x, 1, 2)), 1, 2)),
        "another shape": lambda: _functional(lambda x: ops.reshape(x, (-1, 3, T))),
        "indexed backwards": lambda: _functional(lambda x: x[:, ::-1]),
        "steps left out": lambda: _functional(lambda x: x[:, 1:]),
        "weights of steps, dots": lambda: _functional(L.EinsumDense("...tc,ts->...sc", output_shape=(T, 3))),
        "a contraction": lambda: _functional(lambda x: ops.tensordot(x, x, axes=((1,), (1,)))),
        "masks, which leave steps out": lambda: keras.Sequential([L.Embedding(4, 3, mask_zero=True)]),
    }.items(),
    ids=lambda pair: pair[0],
)
def test_parts_that_may_mix_steps_are_refused(network):
    with pytest.raises(ValueError, match="no step may see later ones; its layer .* may let it"):
        check_causality(network[1](), "x")


def test_parts_that_treat_steps_alone_are_not_refused():
    def parts(x):
        a, b = ops.split(ops.concatenate([ops.exp(x), 2 * x], axis=-1), 2, axis=-1)
        h = ops.concatenate([ops.softplus(a), b[..., :1], ops.where(b > 0, a, b)[:, :, 1:]], axis=-1)
        return L.PReLU(shared_axes=[1])(L.LayerNormalization()(L.EinsumDense("abc,cd->abd", output_shape=(None, 4))(h)))

    network, x = _functional(parts), normal(2, T, 3)
    check_causality(network, "x")
    states, whole = first_states(network, x[:, :1]), array(network(x))
    for t in range(T):
        output, states = step(network, x[:, t : t + 1], states, t)
        np.testing.assert_allclose(array(output)[:, 0], whole[:, t], rtol=1e-5)


def test_a_network_that_may_see_the_future_is_refused():
    backwards = Stack([L.Bidirectional(L.LSTM(4, return_sequences=True)), TimeDistributed(Normal(3))])
    with pytest.raises(ValueError, match="no step may see later ones; its layer .* may let it"):
        vk.LatentVariableModel(
            generative=[
                vk.Factor("z", recurrent(DiagonalNormal(2)), given=vk.past("x")),
                vk.Factor("x", backwards, given=(vk.past("x"), "z")),
            ],
            inference=[vk.Factor("z", recurrent(DiagonalNormal(2)), given="x")],
        )


def test_a_factor_of_the_past_that_is_not_described_step_by_step_is_refused():
    with pytest.raises(ValueError, match="let its network end in vaekit.layers.TimeDistributed"):
        vk.LatentVariableModel(
            generative=[
                vk.Factor("z", keras.Sequential([L.LSTM(4), DiagonalNormal(2)]), given=vk.past("x")),
                vk.Factor("x", recurrent(Bernoulli(3)), given="z"),
            ],
            inference=[vk.Factor("z", keras.Sequential([L.LSTM(4), DiagonalNormal(2)]), given="x")],
        )


def test_features_are_of_data():
    with pytest.raises(ValueError, match="A Feature is computed of data; one is given the latent"):
        vk.LatentVariableModel(
            generative=[vk.Factor("z", vk.priors.StandardNormal()), vk.Factor("x", Normal(3), given="h")],
            inference=[vk.Factor("z", DiagonalNormal(2), given="x")],
            features=[vk.Feature("h", L.Dense(2), given="z")],
        )
    with pytest.raises(ValueError, match="Feature expects names"):
        vk.Feature("h", L.Dense(2), given=None)
    with pytest.raises(ValueError, match="names 2 outputs; its network .* has 1"):
        vk.Feature(("h", "k"), L.Dense(2), given="x")([normal(2, 3)])


def test_a_latent_that_depends_on_data_is_not_drawn_without_them():
    with pytest.raises(ValueError, match="depends on .* which is not drawn here"):
        vrnn().draw(2, observed=False)


# ---------------------------------------------------------------- features, files, training


def test_a_shared_feature_of_images_is_the_same_model_written_twice():
    """A trunk as a feature, and the same trunk inside the encoder: one density, one gradient."""
    trunk, head, decoder = L.Dense(4, "tanh"), DiagonalNormal(2), Normal(3)
    prior = vk.priors.StandardNormal
    inside = vk.VAE(keras.Sequential([trunk, head]), decoder, seed=0)
    inside.build((None, 3))
    beside = vk.LatentVariableModel(
        generative=[vk.Factor("z", prior()), vk.Factor("x", decoder, given="z")],
        inference=[vk.Factor("z", head, given="h")],
        features=[vk.Feature("h", trunk, given="x")],
        seed=0,
    )
    beside.build((None, 3))
    x = normal(4, 3)
    np.testing.assert_allclose(beside.log_weights(x, 3, seed=1), inside.log_weights(x, 3, seed=1), rtol=1e-6)
    for frozen in ("", "q", "p"):
        gradients = []
        for model in (inside, beside):
            loss = lambda: ops.mean(model.trace(x, 2, frozen=frozen, seed=2).log_weights())  # noqa: B023, E731
            variables = [*trunk.trainable_variables, *head.trainable_variables, *decoder.trainable_variables]
            gradients.append([array(g) for g in backend.variables_gradient(loss, variables)[1]])
        for one, other in zip(*gradients, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5, err_msg=frozen)


@pytest.mark.alternate
@pytest.mark.parametrize("make", [video, vrnn], ids=["video", "vrnn"])
def test_files_keep_the_model(make, tmp_path):
    model, x = make(), frames()
    model.compile("adam", objective=vk.objectives.IWAE(samples=2))
    model.fit(x, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = vk.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.log_weights(x, seed=1), model.log_weights(x, seed=1))
    np.testing.assert_array_equal(loaded.futures(x[:, :2], seed=1), model.futures(x[:, :2], seed=1))


@pytest.mark.thorough
def test_training_goes_on_bit_for_bit(tmp_path):
    """A model that was trained to the end goes on from a file of another, and comes to its own end again."""

    def trained(model, epochs, path=None):
        model.fit(frames(8), epochs=epochs, batch_size=4, verbose=0, checkpoint=path)
        return model.get_weights()

    first, second = video(known=1), video(known=1)
    for model in (first, second):
        model.compile(keras.optimizers.Adam(0.01))
    whole, path = trained(first, 3), tmp_path / "training.npz"
    trained(second, 2, path)
    for one, other in zip(whole, trained(first, 3, path), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_posterior_given_its_past_learns_through_its_draws():
    """The gradient reaches the encoder through all steps of the loop: against finite differences."""
    model, x = SYSTEM.model(shift=0.3), X
    posterior = model.inference[0].layer.layers[0].network

    def bound(shift):
        posterior.shift = shift
        return ops.mean(model.trace(x, 4, seed=7).log_weights())

    at = np.float32(0.3)
    gradient = float(array(backend.value_and_gradient(bound, at)[1][0]))
    above, below = (float(array(bound(at + np.float32(e)))) for e in (0.01, -0.01))
    assert gradient == pytest.approx((above - below) / 0.02, rel=0.02)


def test_words_one_by_one_are_the_same_composition_as_frames():
    """A language model of fixed length as factors in time has the density of the layer for sentences."""
    vocabulary, units = 5, 4
    embedding, lstm = L.Embedding(vocabulary, 3), L.LSTM(units, return_sequences=True)
    head = vk.layers.Tokens(T, vocabulary=vocabulary)
    sentences = vk.layers.AutoregressiveTokens([embedding, lstm, head])
    z = normal(2, 2)
    sentences(z)
    randomize(sentences, 0.5)
    x = np.array([[4, 4, 4, 4, 4], [4, 3, 0, 0, 0]])  # word 4, end mark 3, padding 0
    log_p = array(sentences(z).log_prob(x.astype("float32")))
    before = np.concatenate([np.full((2, 1), 2), x[:, :-1]], axis=1)  # the start mark first
    h = np.concatenate([array(embedding(before)), np.repeat(z[:, None], T, axis=1)], axis=-1)
    states, steps = first_states(lstm, h[:, :1]), []
    for t in range(T):
        output, states = step(lstm, h[:, t : t + 1], states, t)
        steps.append(array(output))
    p = head(np.concatenate(steps, axis=1))
    np.testing.assert_allclose(log_p, array(p.log_prob(x.astype("float32"))), atol=1e-5)


# ---------------------------------------------------------------- with objectives of samples, a refinement, export


@pytest.mark.thorough
@pytest.mark.parametrize("make", [video, vrnn], ids=["video", "vrnn"])
def test_sequences_train_by_importance_weights(make):
    model = make()
    model.compile("adam", objective=vk.objectives.IWAE(samples=3, gradient="dreg"))
    assert np.isfinite(model.fit(frames(), verbose=0).history["loss"]).all()


def test_a_posterior_over_time_is_refined():
    """Two small steps raise the bound of a sequence; its number of steps has to be known."""
    plain, x = video(), frames()
    parts = dict(features=plain.features, generative=plain.generative, inference=plain.inference, seed=0)
    model = vk.LatentVariableModel(refinement=vk.inference.Refinement(steps=2, learning_rate=0.02, samples=20), **parts)
    model.build((None, T, 2, 2, 1))
    before, after = (m.log_weights(x, samples=2000, seed=1).mean() for m in (plain, model))
    assert after > before
    other = vrnn()
    parts = dict(features=other.features, generative=other.generative, inference=other.inference)
    with pytest.raises(ValueError, match="'z' is drawn step by step"):
        vk.LatentVariableModel(refinement=vk.inference.Refinement(steps=2), **parts)
    head = TimeDistributed(DiagonalNormal(2))
    head.build((None, None, 3))
    with pytest.raises(ValueError, match=r"model.build\(\(None, T, ...\)\)"):
        head.parameter_shapes()


@pytest.mark.once
def test_a_decoder_of_frames_is_exported_and_drawn_latents_are_not(tmp_path):
    tf = pytest.importorskip("tensorflow")
    model, z = video(), normal(2, T, 2)
    model.export(tmp_path / "decoder", part="decode", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "decoder"))
    np.testing.assert_allclose(loaded.decode(z), model.decode(z), atol=1e-5)
    with pytest.raises(ValueError, match="drawn step by step"):
        vrnn().export(tmp_path / "vrnn", part="encode")


# ---------------------------------------------------------------- sequences, their features and pasts, everywhere


def markov(prior_past=True):
    """q(z_t | h, z_<t) with a feature h of x, p(z_t | z_<t) or independent steps, p(x_t | z_t)."""
    prior = vk.Factor("z", recurrent(DiagonalNormal(2)), given=vk.past("z"))
    independent = vk.Factor("z", vk.priors.IndependentSteps(vk.priors.StandardNormal()))
    keras.utils.set_random_seed(3)
    model = vk.LatentVariableModel(
        features=[vk.Feature("h", TimeDistributed(L.Dense(4)), given="x")],
        generative=[
            prior if prior_past else independent,
            vk.Factor("x", Stack([L.Dense(4, "tanh"), TimeDistributed(Normal(3))], over_time=True), given="z"),
        ],
        inference=[vk.Factor("z", recurrent(DiagonalNormal(2)), given=("h", vk.past("z")))],
        seed=0,
    )
    model.build((None, T, 3))
    return model


@pytest.mark.parametrize("prior_past", [False, True])
def test_information_of_sequences_with_features_and_pasts_is_that_of_all_pairs(prior_past):
    model, x = markov(prior_past=prior_past), normal(6, T, 3)
    info = vk.evaluation.information(model, x, samples=2, progress=False)
    trace = model.trace(x, 2, seed=backend.seed_generator(0))
    z = array(trace.values["z"])  # [2, 6, T, 2]
    log_q = np.stack([array(model.given(np.repeat(x[n : n + 1], 6, axis=0)).log_q({"z": z})) for n in range(6)])
    log_aggregate = np.logaddexp.reduce(log_q, axis=0) - np.log(6)
    expected = array(trace.log_q["z"]) - log_aggregate
    assert info.mutual_information == pytest.approx(expected.mean(), rel=1e-4, abs=1e-4)


def test_active_units_of_latents_that_see_their_own_past_average_over_all_samples():
    model, x = markov(), normal(5, T, 3)
    units = vk.evaluation.active_units(model, x, samples=4000)
    q = model.trace(x, 4000, seed=1).q["z"]
    means = array(q.mean()).reshape(4000, 5, T, 2).mean(axis=0)
    np.testing.assert_allclose(units.activity, means.var(axis=0), rtol=0.1, atol=2e-5)


@pytest.mark.parametrize("rows", [1, 6])
def test_closed_form_kl_of_a_sequence_that_sees_its_own_past(rows):
    model, x = markov(prior_past=False), normal(rows, T, 3)
    data = model.observe(x)
    losses = [vk.objectives.ELBO(200, analytic_kl=a)(model, data, step=0, training=False)[0] for a in (False, True)]
    assert losses[1].shape == (rows,)
    np.testing.assert_allclose(*map(array, losses), rtol=0.05)


@pytest.mark.thorough
def test_hmc_follows_densities_with_features_and_pasts_of_latents():
    for prior_past in (False, True):
        z, acceptance = vk.inference.hmc(markov(prior_past=prior_past), normal(3, T, 3), samples=5, burn_in=5)
        assert z["z"].shape == (5, 3, T, 2) and np.ptp(z["z"], axis=0).min() > 0 and acceptance.max() <= 1


def test_one_latent_for_a_whole_sequence_is_decoded_to_the_length_it_was_built_with():
    model = vk.LatentVariableModel(
        [
            vk.Factor("z", vk.priors.StandardNormal()),
            vk.Factor("x", recurrent(Normal(3)), given=(vk.past("x"), "z")),
        ],
        [vk.Factor("z", keras.Sequential([L.LSTM(4), DiagonalNormal(2)]), given="x")],
        seed=0,
    )
    x = normal(4, T, 3)
    model.build((None, T, 3))
    assert model.decode(np.zeros((2, 2), "float32")).shape == (2, T, 3)
    assert model.interpolate(x[:2], x[2:], steps=3).shape == (2, 3, T, 3)


def test_conditions_that_are_sequences_have_the_length_that_the_model_was_built_with():
    decoder = Stack([L.LSTM(4, return_sequences=True), TimeDistributed(Normal(3))], over_time=True)
    model = vk.LatentVariableModel(
        [
            vk.Factor("z", vk.priors.IndependentSteps(vk.priors.StandardNormal())),
            vk.Factor("x", decoder, given=(vk.past("x"), "z", "a")),
        ],
        [vk.Factor("z", recurrent(DiagonalNormal(2)), given="x")],
        seed=0,
    )
    x, a = normal(2, T, 3), normal(2, T, 1)
    model.build({"x": (None, T, 3), "a": (None, T, 1)})
    assert model.futures({"x": x[:, :2], "a": a}).shape == (1, 2, T, 3)
    with pytest.raises(ValueError, match=r"A condition has the shape that the model was built with"):
        model.log_weights({"x": x[:, :3], "a": a[:, :3]})
    for length in (T - 1, T + 1):
        with pytest.raises(ValueError, match=rf"futures of this model have {T} steps, .* asked for {length}"):
            model.futures({"x": x[:, :2], "a": a}, length=length)
