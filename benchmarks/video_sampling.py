"""How long does a frame take, when futures of videos are drawn?

The network for moving digits of `video_training.py`; 4 frames of each video are known, 26 are drawn, by the learned
prior: 20 futures of one video, or one of each of 100. "A call a frame" is what Keras offers, the same layers as a
`keras.Model`, which computes all frames from those before them, and is called for each (`predict_on_batch`) with the
frames so far, as long as a video: one program. PyTorch keeps the LSTMs' states, and runs on one frame after the other.
"""

from types import SimpleNamespace

import harness
import numpy as np
import video_training
from harness import Contestant, Goal

PAST, LENGTH = 4, 30
SIZES = {"settings": video_training.CASES["moving digits"]["settings"], "size": 16, "frames": LENGTH, "calls": 3}
CASES = {
    "20 futures of a video": {"videos": 1, "futures": 20, **SIZES},
    "a future of 100 videos": {"videos": 100, "futures": 1, **SIZES},
}


def known(case):
    return np.random.default_rng(0).random((case["videos"], PAST, 16, 16, 1), "float32")


def drawn(case):
    """How many frames a repeat of all futures draws."""
    return case["videos"] * case["futures"] * (LENGTH - PAST)


def vaekit(case):
    model, x = video_training.svg(case), known(case)

    def futures():
        model.futures(x, n=case["futures"], seed=0)
        return drawn(case)

    return futures


def calls(case):
    """SVG's layers as a Keras model, called with all frames so far, for each frame."""
    import keras
    from keras import ops

    model = video_training.svg(case)
    (encoder,), (prior, frames) = ([part.layer for part in parts] for parts in (model.features, model.generative))

    class Whole(keras.Model):
        def call(self, inputs):
            x, noise = inputs  # [N, T, ...], [N, T, latents]
            h, *skips = encoder(x)
            before, *skips = (ops.pad(v[:, :-1], [(0, 0), (1, 0), *[(0, 0)] * (v.ndim - 2)]) for v in (h, *skips))
            p = prior(before)
            z = p.mean() + p.stddev() * noise
            return frames([before, z, *skips]).mean()

    whole, rows = Whole(), case["videos"] * case["futures"]
    x = np.zeros((rows, LENGTH, 16, 16, 1), "float32")
    x[:, :PAST] = np.repeat(known(case), case["futures"], axis=0)
    rng, latents = np.random.default_rng(0), case["settings"]["latents"]

    def futures():
        noise = rng.normal(size=(rows, LENGTH, latents)).astype("float32")
        for t in range(PAST, PAST + case["calls"]):
            x[:, t] = whole.predict_on_batch([x, noise])[:, t]
        return rows * case["calls"]

    return futures


def pytorch(case):
    import torch

    torch.manual_seed(0)
    s, rows = SimpleNamespace(**case["settings"]), case["videos"] * case["futures"]
    model = video_training.networks(s)().eval()
    x = torch.from_numpy(np.repeat(known(case), case["futures"], axis=0)).movedim(-1, 2)

    def futures():
        with torch.no_grad():
            before, states, frames = torch.zeros(rows, s.code), [None] * 3, []
            for t in range(LENGTH):
                if t < PAST:
                    h, maps = model.encode(x[:, t])
                    y, states[0] = model.posterior.step(h, states[0])
                y_p, states[1] = model.prior.step(before, states[1])
                mean, log_variance = (model.q(y) if t < PAST else model.p(y_p)).chunk(2, -1)
                z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
                y_x, states[2] = model.predictor.step(torch.cat([before, z], 1), states[2])
                if t < PAST:
                    frames.append(x[:, t])
                else:
                    frames.append(model.decode(model.say(y_x), maps))
                    h, _ = model.encode(frames[-1])
                before = h
            torch.stack(frames, 1).numpy()
        return drawn(case)

    return futures


BACKENDS = {"JAX": "jax", "TensorFlow": "tensorflow"}
CONTESTANTS = {
    "PyTorch, frame by frame": Contestant(pytorch, packages=("torch",)),
    **{f"a call a frame on {name}": Contestant(calls, backend) for name, backend in BACKENDS.items()},
    **{f"vaekit on {name}": Contestant(vaekit, backend) for name, backend in BACKENDS.items()},
}
GOALS = [Goal(f"vaekit on {name}", f"a call a frame on {name}", 1 / 10, case) for name in BACKENDS for case in CASES]

if __name__ == "__main__":
    harness.main(__file__, CASES, CONTESTANTS, "ms a frame", GOALS, rounds=3)
