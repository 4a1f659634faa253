import atexit
import collections
import contextlib
import gc
import importlib
import importlib.util
import os
import shutil
import sys
import tempfile
import types
from pathlib import Path
from unittest import mock

import hypothesis
import pytest

sys.modules.setdefault("rfc3987_syntax", None)  # jsonschema's grammar of addresses: a second, and no notebook has any
gc.disable()  # while modules are imported, which leave little garbage: see `pytest_collection_finish`
hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no fault
hypothesis.settings.load_profile("untimed")
sys.path.insert(0, str(Path(__file__).parent))
if os.environ.get("VAEKIT_DATA"):  # tests change directories
    os.environ["VAEKIT_DATA"] = str(Path(os.environ["VAEKIT_DATA"]).resolve())

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # there are as many workers as cores
os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads of scikit-learn's wait for each other by counting
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # small programs: compiling them is what takes time
os.environ.setdefault(  # the same for TensorFlow; without fusion emitters an operation compiles in half the time
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_parallel_codegen_split_count=1",
)
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # and many are the same: all workers share what is compiled
    cache = tempfile.mkdtemp(prefix="vaekit-jax-")
    atexit.register(shutil.rmtree, cache, ignore_errors=True)
    os.environ |= {
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def pytest_collectstart():
    """Before any test's file vaekit is imported: it keeps the backend's start-up messages away.

    Where pytest has workers, these collect, and the process that watches them needs no backend.
    """
    import vaekit  # noqa: F401


def pytest_collection_finish():
    """Python looks for garbage less often, and not among what was imported; TensorFlow takes no notes."""
    gc.set_threshold(50_000, 10, 10)
    gc.freeze()
    gc.enable()
    if "tensorflow.python.util.tf_stack" in sys.modules:  # it notes for each operation which lines of Python made it
        from tensorflow.python.util import tf_stack

        stack = tf_stack.extract_stack()
        tf_stack.extract_stack = lambda stacklevel=1: stack


def pytest_collection_modifyitems(config, items):
    """With both backends installed, tests run once where they are marked so.

    Those marked `once` run on TensorFlow alone, those marked `on_jax` on JAX alone, cases of `alternate` on one each.
    """
    if not all(map(importlib.util.find_spec, ("tensorflow", "jax"))):
        return
    import keras

    here, seen = ["tensorflow", "jax"].index(keras.backend.backend()), collections.Counter()

    def runs(item):
        case = seen[item.function]
        seen[item.function] += 1
        places = {"once": 0, "on_jax": 1, "alternate": case % 2}
        return all(place == here for mark, place in places.items() if item.get_closest_marker(mark))

    kept = {item: runs(item) for item in items}
    config.hook.pytest_deselected(items=[item for item in items if not kept[item]])
    items[:] = [item for item in items if kept[item]]


@pytest.fixture(autouse=True)
def seeded():
    """Seeds of Python, NumPy and Keras, for each test.

    Not TensorFlow's own, which it would draw from where no seed is given: with a new one it forgets all operations that
    it has prepared, which takes a third of the time of tests with many small ones.
    """
    import keras
    from keras.src.utils import rng_utils

    with mock.patch.object(rng_utils, "tf", types.SimpleNamespace(available=False)):
        keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float32")
    yield
    keras.config.set_dtype_policy("float32")  # a module's fixtures come before this one


@pytest.fixture
def float64():
    """Keras' default float, which the library's own numbers do not follow; on JAX with 64 bits, else it has none."""
    import keras

    jax = importlib.import_module("jax") if keras.backend.backend() == "jax" else None
    with jax.enable_x64(True) if jax else contextlib.nullcontext():
        keras.config.set_floatx("float64")
        keras.config.set_dtype_policy("float64")
        yield
        keras.config.set_floatx("float32")


@pytest.fixture
def other_backend():
    """The backend that this run does not use; skips where its library is missing."""
    import keras

    name = {"tensorflow": "jax", "jax": "tensorflow"}[keras.backend.backend()]
    pytest.importorskip(name, reason=f"{name} is not installed")
    return name


@pytest.fixture
def fast_processes(monkeypatch):
    """Processes of graded code on JAX, which starts in half of TensorFlow's time, and compiling as the tests do."""
    from vaekit.course.grader import command

    if importlib.util.find_spec("jax"):
        monkeypatch.setenv("KERAS_BACKEND", "jax")
        monkeypatch.setattr(command, "backend", types.SimpleNamespace(NAME="jax"))
    compiling = {name: os.environ[name] for name in ("JAX_DISABLE_MOST_OPTIMIZATIONS", "XLA_FLAGS")}
    shut_in = command.shut_in

    def shut_in_too(arguments, environment, *more, **options):
        return shut_in(arguments, environment | compiling, *more, **options)

    monkeypatch.setattr(command, "shut_in", shut_in_too)


@pytest.fixture
def mirror():
    path = os.environ.get("VAEKIT_DATA")
    if not path or not Path(path).is_dir():
        pytest.skip("VAEKIT_DATA names no directory with the data files")
    return Path(path)
