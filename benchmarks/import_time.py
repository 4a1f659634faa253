"""How much longer does it take to import vaekit than Keras and its backend alone?"""

import subprocess
import sys

import harness
from harness import Contestant

CASE = "a new Python process"
CASES = {CASE: {}}


def importing(*modules):
    def prepare(_):
        def repeat():
            program = f"import os, {', '.join(modules)}; os._exit(0)"  # without the time of tidying up at the end
            subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
            return 1

        return repeat

    return prepare


CONTESTANTS = {
    "Keras and TensorFlow": Contestant(importing("tensorflow", "keras"), "tensorflow"),
    "vaekit on TensorFlow": Contestant(importing("vaekit"), "tensorflow"),
    "Keras and JAX": Contestant(importing("jax", "keras"), "jax"),
    "vaekit on JAX": Contestant(importing("vaekit"), "jax"),
}

if __name__ == "__main__":
    harness.main(__file__, CASES, CONTESTANTS, "s an import", rounds=7)
