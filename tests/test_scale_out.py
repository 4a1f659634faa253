"""Training on two (virtual) devices is training on one: keras.distribution on JAX, tf.distribute on TensorFlow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest


@pytest.mark.thorough
def test_two_devices_give_the_losses_and_gradients_of_one():
    """By scale of the decoder: history and weights after training on one device and on two."""
    program = Path(__file__).parent / "scale_out.py"
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend(), "TF_CPP_MIN_LOG_LEVEL": "3"}
    run = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    results = json.loads(run.stdout.splitlines()[-1])
    for scale in ("shared", "optimal"):  # optimal: σ* is that of the whole batch
        one, two = results[scale]
        for name, values in one["history"].items():
            assert values == pytest.approx(two["history"][name], rel=1e-5), (scale, name)
        for a, b in zip(one["weights"], two["weights"], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=scale)
        losses = one["history"]["loss"]
        assert losses[0] != losses[1] and np.isfinite(losses).all()
    if keras.backend.backend() == "tensorflow":  # replicas draw noise of their own; JAX's one program draws for all
        keys = {tuple(key) for key in results["keys"]}
        assert len(keys) == len(results["keys"]) == 4
