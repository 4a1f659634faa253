"""What does a GPU make of vaekit's training? All that is measured on one, in one run of ten minutes.

    KERAS_BACKEND=jax python benchmarks/gpu.py FOLDER --minutes 10

Into FOLDER go: `profile.txt`, what `profile_training.py` prints of three shapes; `conv_hvae.json`, seconds an epoch of
the convHVAE of Tomczak & Welling 2018 on MNIST; and, for the minutes that are left, a cell of Burda et al. 2015 with
its checkpoint and record, IWAE with k = 50 on MNIST, of 3280 epochs. Run again with the same FOLDER it goes on from
there. MNIST has to be at hand: `vaekit data dynamic_mnist`, or `VAEKIT_DATA`.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
CELL = "burda2015 --data dynamic_mnist --layers 1 --objective iwae --samples 50".split()


def profile(folder):
    text = subprocess.run(
        [sys.executable, HERE / "profile_training.py"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    (folder / "profile.txt").write_text(text)
    print(text)


def conv_hvae(folder, images):
    """Times two epochs, after one that compiles; in a process of its own, whose memory is free afterwards."""
    program = f"import gpu; gpu.time_conv_hvae({str(folder / 'conv_hvae.json')!r}, {images})"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=HERE)


def time_conv_hvae(path, images):
    import jax

    import vaekit as vk
    from vaekit.papers import tomczak2017

    data = vk.datasets.load("dynamic_mnist")
    model, x, seconds = tomczak2017.conv_hvae(data, seed=0), data.train[:images], []
    for _ in range(3):
        start = time.perf_counter()
        model.fit(x, batch_size=100, verbose=0)
        seconds.append(time.perf_counter() - start)
    device = jax.devices()[0].device_kind
    found = {"device": device, "images": len(x), "seconds": min(seconds[1:]), "with compiling": seconds[0]}
    Path(path).write_text(json.dumps(found, indent=1) + "\n")
    print(f"convHVAE on {device}: {found['seconds']:.1f} s an epoch of {len(x):,} images; the first {seconds[0]:.1f} s")


def of_paper():
    from vaekit.reproduction import choice

    return next(cell for cell in choice.choose(CELL) if "then" not in cell.options)


def train(folder):
    from vaekit.reproduction import run

    try:
        run(of_paper(), runs=f"{folder}/runs", results=f"{folder}/results")
    except KeyboardInterrupt:
        pass


def cell(folder, seconds):
    """Trains the cell until the time is up; what it has by then is in its checkpoint."""
    process = subprocess.Popen([sys.executable, "-c", f"import gpu; gpu.train({str(folder)!r})"], cwd=HERE)
    try:
        process.wait(max(1.0, seconds))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=10, help="for everything (default: 10)")
    parser.add_argument("--images", type=int, default=50_000, help="an epoch of the convHVAE (default: 50,000)")
    options = parser.parse_args()
    if os.environ.get("KERAS_BACKEND") != "jax":
        parser.error("set KERAS_BACKEND=jax: what is profiled are JAX's programs.")
    start, folder = time.monotonic(), options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "profile.txt").exists():
        profile(folder)
    if not (folder / "conv_hvae.json").exists():
        conv_hvae(folder, options.images)
    cell(folder, 60 * options.minutes - (time.monotonic() - start))
    left = subprocess.run([sys.executable, "-c", f"import gpu; gpu.say({str(folder)!r})"], cwd=HERE)
    return left.returncode


def say(folder):
    from vaekit.reproduction import queue

    print(queue.Job(of_paper(), 0, None).state(f"{folder}/runs", f"{folder}/results"))


if __name__ == "__main__":
    sys.exit(main())
