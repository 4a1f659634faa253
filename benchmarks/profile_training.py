"""What bounds a training step on JAX? Its time, the model's memory, the share of time the device works, and on what.

    KERAS_BACKEND=jax python benchmarks/profile_training.py

The model and the cases of `training_step.py`, on whatever device JAX finds: a GPU, else the processor. Steps are timed
first, then recorded by JAX's profiler; the device works while at least one of its operations runs.
"""

import os
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"

import jax  # noqa: E402
import training_step  # noqa: E402


def operations(folder):
    """(name, start, end) in ns of all operations that the profiler saw on the device."""
    (path,) = Path(folder).rglob("*.xplane.pb")
    planes = list(jax.profiler.ProfileData.from_file(str(path)).planes)
    on_gpu = [plane for plane in planes if plane.name.startswith("/device:GPU")]
    for plane in on_gpu or planes:
        for line in plane.lines:
            for event in line.events:
                # a GPU's streams hold kernels and copies; a processor's threads mark XLA's operations
                if line.name.startswith("Stream") if on_gpu else "hlo_op" in dict(event.stats):
                    yield event.name, event.start_ns, event.start_ns + event.duration_ns


def busy(intervals):
    """ns in which at least one interval is open, and ns from the first to the last."""
    intervals = sorted(intervals)
    total, until = 0, intervals[0][0]
    for start, end in intervals:
        total += max(0, end - max(start, until))
        until = max(until, end)
    return total, until - intervals[0][0]


def report(label, case):
    epoch = training_step.vaekit(case)
    epoch()  # compiles
    start = time.perf_counter()
    steps = epoch()
    seconds = (time.perf_counter() - start) / steps
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            epoch()
        found = list(operations(folder))
    print(f"\n{label}: {1e6 * seconds:.0f} µs an update")
    memory = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in memory:
        print(f"  device memory, at most: {memory['peak_bytes_in_use'] / 2**20:.0f} MiB")
    if not found:
        return print("  the profiler saw no operations of the device")
    working, whole = busy([(a, b) for _, a, b in found])
    print(
        f"  the device works {100 * working / whole:.0f} % of the time; {len(found) / steps:.1f} operations an update"
    )
    spent = Counter()
    for name, a, b in found:
        spent[name] += b - a
    total = sum(spent.values())
    for name, ns in spent.most_common(8):
        print(f"  {100 * ns / total:5.1f} %  {ns / steps / 1e3:8.1f} µs an update  {name[:80]}")


if __name__ == "__main__":
    print(f"JAX {jax.__version__} on {jax.local_devices()[0].device_kind}")
    for label, case in training_step.CASES.items():
        report(label, {**case, "examples": 200 * case["batch"]})
