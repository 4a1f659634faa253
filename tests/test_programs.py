"""Compiled programs are made once, let go of with their model, and may be used from several threads."""

import gc
import threading

import keras
import numpy as np
import pytest
from keras import ops
from oracles import binary_images, small_vae

import vaekit as vk
from vaekit import backend

X = binary_images(20)


@pytest.fixture(scope="module")
def model():
    model = small_vae()
    model.fit(X, verbose=0)
    return model


def test_evaluations_are_compiled_once(model, monkeypatch):
    made, compiled = [], backend.compile
    monkeypatch.setattr(backend, "compile", lambda *a, **k: made.append(a[0]) or compiled(*a, **k))
    asks = (
        lambda seed: vk.evaluation.log_likelihood(model, X, samples=3, seed=seed, progress=False).per_example,
        lambda seed: vk.evaluation.terms(model, X, vk.objectives.IWAE(2), seed=seed)["bound"],
        lambda seed: vk.inference.hmc(model, X[:2], samples=2, burn_in=2, seed=seed)[0]["z"],
    )
    first = [ask(0) for ask in asks]
    count = len(made)
    for ask, one in zip(asks, first, strict=True):
        assert np.any(ask(1) != one)
        np.testing.assert_array_equal(ask(0), one)
    assert len(made) == count
    vk.evaluation.terms(model, X, vk.objectives.IWAE(3))
    assert len(made) == count + 1


@pytest.mark.skipif(backend.NAME != "jax", reason="JAX's cache")
def test_a_second_model_of_equal_structure_is_not_compiled_again():
    import jax

    events = []
    jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
    small_vae(seed=1).fit(X, verbose=0)
    events.clear()
    small_vae(seed=2).fit(X, verbose=0)
    assert events.count("/jax/compilation_cache/cache_hits") >= 1
    assert events.count("/jax/compilation_cache/cache_misses") == 0


@pytest.mark.thorough
@pytest.mark.skipif(backend.NAME != "tensorflow", reason="TensorFlow's graphs")
def test_a_discarded_model_leaves_no_graph_behind():
    from tensorflow.python.framework.func_graph import FuncGraph

    def graphs():
        keras.backend.clear_session()
        gc.collect()
        return sum(isinstance(o, FuncGraph) for o in gc.get_objects())

    small_vae(prior=vk.priors.MixtureOfNormals(2)).fit(X, verbose=0)
    before = graphs()
    small_vae(prior=vk.priors.MixtureOfNormals(2)).fit(X, verbose=0)
    assert graphs() == before


def test_several_threads_read_one_model(model):
    def read():
        return [
            model.reconstruct(X),
            model.encode(X),
            model.sample(2, seed=3),
            ops.convert_to_numpy(model(X)),
            np.array(list(model.evaluate(X, seed=0, verbose=0).values())),
            vk.evaluation.log_likelihood(model, X, samples=3, progress=False).per_example,
        ]

    expected, faults = read(), []

    def work():
        try:
            for _ in range(3):
                for value, right in zip(read(), expected, strict=True):
                    np.testing.assert_array_equal(value, right)
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert np.isfinite(model.fit(X, verbose=0).history["bound"][0])
