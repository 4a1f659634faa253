"""Seeded minibatches and dynamic binarization, for all sizes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vaekit.batches import Batches, DynamicBinarization

quick = settings(max_examples=60, deadline=None)


def epoch(batches):
    return [batches[i] for i in range(len(batches))]


@quick
@given(n=st.integers(1, 60), batch_size=st.integers(1, 70), seed=st.integers(0, 2**31), shuffle=st.booleans())
def test_every_row_comes_once_an_epoch(n, batch_size, seed, shuffle):
    batches = Batches(np.arange(n), batch_size, shuffle, seed)
    for _ in range(2):
        parts = [rows for (rows,) in epoch(batches)]
        assert all(len(rows) == batch_size for rows in parts[:-1]) and 1 <= len(parts[-1]) <= batch_size
        rows = np.concatenate(parts)
        assert sorted(rows) == list(range(n))
        assert shuffle or list(rows) == list(range(n))
        batches.on_epoch_end()


@quick
@given(n=st.integers(2, 40), seed=st.integers(0, 2**31), access=st.permutations(range(4)))
def test_a_batch_depends_on_seed_epoch_and_place_alone(n, seed, access):
    data = {"x": DynamicBinarization(np.linspace(0, 1, n)), "row": np.arange(n)}
    one, other = Batches(data, -(-n // 4), seed=seed), Batches(data, -(-n // 4), seed=seed)
    for i in (i for i in access if i < len(one)):  # in any order, as parallel workers ask
        ((a,), (b,)) = one[i], other[i]
        np.testing.assert_array_equal(a["row"], b["row"])
        np.testing.assert_array_equal(a["x"], b["x"])


def test_epochs_and_seeds_differ():
    def first_epochs(seed):
        batches = Batches(DynamicBinarization(np.full((100, 5), 0.5)), 100, seed=seed)
        result = []
        for _ in range(3):
            result.append(batches[0][0])
            batches.on_epoch_end()
        return result

    draws = first_epochs(0) + first_epochs(1)
    assert len({draw.tobytes() for draw in draws}) == 6


@quick
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20), st.integers(0, 2**31))
def test_draws_are_binary_and_certain_at_the_ends(probabilities, seed):
    data = DynamicBinarization(probabilities, seed)
    x = np.asarray(data)
    p = np.float32(probabilities)
    assert set(np.unique(x)) <= {0.0, 1.0} and x.dtype == np.float32
    assert np.all(x[p == 0] == 0) and np.all(x[p == 1] == 1)
    np.testing.assert_array_equal(x, np.asarray(data))  # one fixed draw
    assert len(data) == len(p) and data.shape == p.shape and data.ndim == 1


def test_draws_have_the_probabilities():
    p = np.linspace(0, 1, 11, dtype="float32")
    x = DynamicBinarization(np.tile(p, (20_000, 1)), seed=1).draw(np.random.default_rng(0))
    np.testing.assert_allclose(x.mean(axis=0), p, atol=5 * 0.5 / np.sqrt(20_000))


def test_slices_are_dynamic_too():
    data = DynamicBinarization(np.full((10, 2), 0.5))
    assert isinstance(data[:3], DynamicBinarization) and len(data[:3]) == 3
    np.testing.assert_array_equal(data[[1, 2]].probabilities, data.probabilities[[1, 2]])
    assert "DynamicBinarization(shape=(10, 2), mean=0.5000)" == repr(data)
