"""MultivariateNormal against SciPy, and its KL in closed form."""

import keras
import numpy as np
import pytest
from likelihoods import H, array, compiled, random
from scipy import stats

import vaekit as vk
from vaekit.backend import tfd
from vaekit.layers import MLP, MultivariateNormal


def full_normal(d=3):
    layer = MultivariateNormal(d)
    p = layer(H)
    mean, a = (array(head(H)) for head in layer.heads.values())
    tril = array(vk.backend.tfp.math.fill_triangular(a))
    return p, mean, np.tril(tril, -1) + np.eye(d) * np.exp(tril / 2)


def test_multivariate_normal_is_scipys():
    p, mean, L = full_normal()
    z = random(6, 3, 3)
    expected = [[stats.multivariate_normal(mean[b], L[b] @ L[b].T).logpdf(z[s, b]) for b in range(3)] for s in range(6)]
    log_p, mean_of_p, covariance = compiled(lambda: (p.log_prob(z), p.mean(), p.covariance()))
    np.testing.assert_allclose(log_p, expected, rtol=1e-4)
    np.testing.assert_allclose(mean_of_p, mean, rtol=1e-5)
    np.testing.assert_allclose(covariance, L @ np.swapaxes(L, 1, 2), rtol=1e-4, atol=1e-5)
    assert p.reparameterization_type == tfd.FULLY_REPARAMETERIZED


def exact_kl(m, S, n, T):
    """KL(N(m, S) ‖ N(n, T))."""
    T_inv, difference = np.linalg.inv(T), n - m
    logs = np.linalg.slogdet(T)[1] - np.linalg.slogdet(S)[1]
    return 0.5 * (np.trace(T_inv @ S) + difference @ T_inv @ difference - len(m) + logs)


def test_kl_between_full_and_diagonal_normals():
    p, mean, L = full_normal()
    loc, scale = random(3, 3, seed=4), np.exp(random(3, 3, seed=5))
    for one in (False, True):  # one normal, such as a prior; or one for each example
        n, s = (loc[0], scale[0]) if one else (loc, scale)
        diagonal = tfd.Independent(tfd.Normal(n, s), 1)
        n, s = (np.broadcast_to(v, (3, 3)) for v in (n, s))
        there, back = [], []
        for b in range(3):
            first, second = (mean[b], L[b] @ L[b].T), (n[b], np.diag(s[b] ** 2))
            there.append(exact_kl(*first, *second))
            back.append(exact_kl(*second, *first))
        found = compiled(lambda p=p, d=diagonal: (tfd.kl_divergence(p, d), tfd.kl_divergence(d, p)))
        np.testing.assert_allclose(found[0], there, rtol=1e-4)
        np.testing.assert_allclose(found[1], back, rtol=1e-4)
    with pytest.raises(NotImplementedError):
        tfd.kl_divergence(p, tfd.Independent(tfd.Laplace(loc, scale), 1))


def test_a_full_posterior_has_a_kl_in_closed_form_and_can_be_refined():
    x = random(20, 6)
    encoder = keras.Sequential([MLP(6), MultivariateNormal(3)])
    refinement = vk.inference.Refinement(steps=1, learning_rate=0.01)
    model = vk.VAE(encoder, MultivariateNormal(6), vk.priors.LearnedNormal(), refinement, seed=0)
    model.compile("adam", objective=vk.objectives.ELBO(analytic_kl=True))
    assert np.isfinite(model.fit(x, verbose=0).history["loss"]).all()

    def divergences():
        trace = model.trace(x[:2], 400)
        return trace.log_q["z"] - trace.log_p["z"], tfd.kl_divergence(trace.q["z"], trace.p["z"])

    sampled_kl, exact = compiled(divergences, model.variables)
    error = sampled_kl.std(axis=0) / np.sqrt(400)
    assert np.all(np.abs(sampled_kl.mean(axis=0) - exact) < 5 * error)


def test_constructor_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="length of a vector"):
        MultivariateNormal((2, 3))
