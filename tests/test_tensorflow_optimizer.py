"""TensorFlow's optimizer step, which models of equal structure share, steps as the optimizer does by itself."""

import functools
import gc
import weakref

import keras
import numpy as np
import pytest
from keras import ops

import vaekit as vk

if vk.backend.NAME != "tensorflow":
    pytest.skip("TensorFlow's", allow_module_level=True)

import tensorflow as tf

from vaekit.backend import tensorflow_optimizer

pytestmark = pytest.mark.once
decay = keras.optimizers.schedules.CosineDecay
OPTIMIZERS = {
    "Adam": lambda: keras.optimizers.Adam(0.01),
    "Adam, scheduled": lambda: keras.optimizers.Adam(decay(0.1, 3)),
    "Adam, clipped": lambda: keras.optimizers.Adam(0.01, clipnorm=0.5, amsgrad=True),
    "SGD": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "RMSprop": lambda: keras.optimizers.RMSprop(0.01, centered=True),
    "normalized": lambda: vk.training.NormalizedGradients(keras.optimizers.Adamax(0.01)),
    "with decay": lambda: keras.optimizers.AdamW(0.01),
    "averaged": lambda: keras.optimizers.Adam(0.01, use_ema=True),
    "accumulating": lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=2),
}


class Problem:
    """Least squares of two weights, of a size of its own."""

    def __init__(self, make, seed, n=3):
        rng = np.random.default_rng(seed)
        self.weights = [keras.Variable(rng.normal(size=shape).astype("float32")) for shape in ((n, 2), (2,))]
        self.optimizer, self.target = make(), rng.normal(size=(n, 2)).astype("float32")
        self.optimizer.build(self.weights)

    def gradient(self):
        with tf.GradientTape() as tape:
            loss = ops.sum((self.weights[0] - self.weights[1] - self.target) ** 2)
        return tape.gradient(loss, [w.value for w in self.weights])

    def train(self, apply, steps=5, of=slice(None)):
        @tf.function(autograph=False)
        def step():
            apply(self.optimizer, self.gradient()[of], self.weights[of])

        for _ in range(steps):
            step()
        return [ops.convert_to_numpy(v) for v in [*self.weights, *self.optimizer.variables]]


def plainly(optimizer, gradient, variables):
    optimizer.apply(gradient, variables)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_steps_are_the_optimizers_own(make):
    for seed in range(2):  # the second shares the first one's step
        found, expected = (Problem(make, seed).train(apply) for apply in (tensorflow_optimizer.apply, plainly))
        for value, right in zip(found, expected, strict=True):
            np.testing.assert_allclose(value, right, rtol=1e-5, atol=1e-6)


def test_equal_structures_share_one_step_and_others_have_their_own():
    tensorflow_optimizer._step.cache_clear()

    def steps(make, **size):
        Problem(make, 0, **size).train(tensorflow_optimizer.apply, steps=1)
        return tensorflow_optimizer._step.cache_info().currsize

    assert [steps(OPTIMIZERS["Adam"]), steps(OPTIMIZERS["Adam"])] == [1, 1]
    assert steps(lambda: keras.optimizers.Adam(0.5)) == 1  # the rate is a variable
    assert steps(OPTIMIZERS["Adam"], n=4) == 2
    assert steps(lambda: keras.optimizers.Adam(0.01, beta_1=0.5)) == 3
    assert [steps(lambda rate=rate: keras.optimizers.Adam(decay(rate, 3))) for rate in (0.1, 0.2)] == [4, 5]
    assert steps(OPTIMIZERS["normalized"]) == 6
    assert steps(lambda: vk.training.NormalizedGradients(keras.optimizers.Adamax(0.01), epsilon=1e-3)) == 7
    for name in ("with decay", "averaged", "accumulating"):
        assert steps(OPTIMIZERS[name]) == 7

    class Doubled(keras.optimizers.Adam):  # whose step its settings do not tell
        def update_step(self, gradient, variable, learning_rate):
            super().update_step(2 * gradient, variable, learning_rate)

    assert steps(Doubled) == 7


def test_what_a_rates_function_returns_is_not_shared():
    for rate in (0.1, 0.5):
        problem = Problem(lambda rate=rate: keras.optimizers.SGD(functools.partial(float, rate)), 0)
        before, gradient = problem.weights[0].numpy(), problem.gradient()[0].numpy()
        after, *_ = problem.train(tensorflow_optimizer.apply, steps=1)
        np.testing.assert_allclose(before - after, rate * gradient, rtol=1e-4)


def test_a_part_of_the_weights_keeps_its_own_moments():
    def train(apply):
        problem = Problem(OPTIMIZERS["Adam"], 0)
        problem.train(apply)
        return problem.train(apply, of=slice(1, 2))

    for value, right in zip(train(tensorflow_optimizer.apply), train(plainly), strict=True):
        np.testing.assert_allclose(value, right, rtol=1e-5, atol=1e-6)


def test_no_model_is_kept_alive():
    problem = Problem(OPTIMIZERS["Adam"], 0)
    problem.train(tensorflow_optimizer.apply, steps=1)
    kept = weakref.ref(problem.optimizer), weakref.ref(problem.weights[0])
    del problem
    gc.collect()
    assert [reference() for reference in kept] == [None, None]
