"""Import of TFP's substrate for JAX, on a JAX newer than itself, and without TensorFlow."""

import importlib.util
import sys

import jax.interpreters.xla
from jax._src.core import pytype_aval_mappings

from vaekit.backend.stderr import quiet_start

# TFP 0.25 reads a name that JAX has since moved out of jax.interpreters.xla.
jax.interpreters.xla.pytype_aval_mappings = pytype_aval_mappings

# TFP's JAX substrate imports TensorFlow wherever it finds it, for two helpers that it can do
# without. While its (lazy) modules load, TensorFlow is made to look absent.
_hidden = {"tensorflow": None} if "tensorflow" not in sys.modules else {}
sys.modules.update(_hidden)
from tensorflow_probability.substrates import jax as tfp  # noqa: E402

for _module in (tfp.bijectors, tfp.distributions, tfp.mcmc, tfp.random, tfp.util):
    dir(_module)  # loads it
for _name in _hidden:
    del sys.modules[_name]


class _QuietTensorFlow:
    """Keras imports TensorFlow, if it is there, when it saves a model; that start is kept quiet too."""

    def find_spec(self, name, path=None, target=None):
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                with quiet_start():
                    execute(module)

            spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, _QuietTensorFlow())
