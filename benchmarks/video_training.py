"""How long does a training step of stochastic video generation take, with everything that `fit` does around it?

SVG with a learned prior and an optimal σ (`vaekit.papers.rybkin2020.video`), float32, Adam, videos of noise: the
network for moving digits (20 videos of 16 frames, 16×16), and the narrow one for moving MNIST (10 of 15 frames, 64×64).
PyTorch's has the same layers and numbers. "Frames at once" encodes and decodes all frames of a batch together, as
vaekit does, and runs `nn.LSTM`; "frame by frame" does one after the other, with `nn.LSTMCell`, as SVG's code, but
encodes each once.
"""

from dataclasses import replace
from types import SimpleNamespace

import harness
import numpy as np
from harness import Contestant, Goal

ADAM = {"learning_rate": 2e-3, "epsilon": 1e-8}
DIGITS = {"past": 4, "filters": (16, 32), "code": 32, "latents": 8, "units": 64, "predictor_layers": 1}
MNIST = {"past": 5, "filters": (8, 16, 32, 64), "code": 128, "latents": 10, "units": 128, "predictor_layers": 2}
CASES = {
    "moving digits": {"settings": DIGITS | ADAM, "batch": 20, "frames": 16, "size": 16, "steps": 10},
    "moving MNIST, narrow": {"settings": MNIST | ADAM, "batch": 10, "frames": 15, "size": 64, "steps": 3},
}


def videos(case):
    shape = case["steps"] * case["batch"], case["frames"], case["size"], case["size"], 1
    return np.random.default_rng(0).random(shape, "float32")


def svg(case):
    """The model of a case, by vaekit."""
    from vaekit.papers.rybkin2020 import video

    data = SimpleNamespace(name="noise", train=None, event_shape=(case["frames"], case["size"], case["size"], 1))
    return video.svg(data, settings=replace(video.MOVING_MNIST, **case["settings"]), seed=0)


def vaekit(case):
    model, x = svg(case), videos(case)

    def epoch():
        model.fit(x, batch_size=case["batch"], verbose=0)
        return case["steps"]

    return epoch


def networks(s):
    """SVG's networks as plain PyTorch code: a class, of settings."""
    import torch
    from torch import nn

    def block(convolution, activation=None):
        return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), activation or nn.LeakyReLU(0.2))

    class Over(nn.Module):
        """A linear layer, and LSTMs: on all steps `[B, T, C]`, or, if they are not fused, on one, `[B, C]`."""

        def __init__(self, inputs, layers, fused):
            super().__init__()
            self.linear = nn.Linear(inputs, s.units)
            self.lstm = nn.LSTM(s.units, s.units, layers, batch_first=True) if fused else None
            self.cells = nn.ModuleList([] if fused else [nn.LSTMCell(s.units, s.units) for _ in range(layers)])

        def step(self, x, states):  # [B, C]
            h, after = self.linear(x), []
            for cell, state in zip(self.cells, states or [None] * len(self.cells), strict=True):
                after.append(cell(h, state))
                h = after[-1][0]
            return h, after

        def forward(self, x):
            return self.lstm(self.linear(x))[0]

    class SVG(nn.Module):
        def __init__(self, fused=False):
            super().__init__()
            channels = [1, *s.filters]
            self.down = nn.ModuleList(
                [block(nn.Conv2d(a, b, 4, 2, 1)) for a, b in zip(channels[:-1], channels[1:], strict=True)]
            )
            self.code = block(nn.Conv2d(channels[-1], s.code, 4), nn.Tanh())
            self.uncode = block(nn.ConvTranspose2d(s.code, channels[-1], 4))
            ups = [
                nn.ConvTranspose2d(2 * b, a, 4, 2, 1) for a, b in zip(channels[-2::-1], channels[:0:-1], strict=True)
            ]
            self.up = nn.ModuleList([*map(block, ups[:-1]), ups[-1]])
            self.last = nn.Conv2d(1, 1, 1)
            self.posterior, self.prior = Over(s.code, 1, fused), Over(s.code, 1, fused)
            self.q, self.p = nn.Linear(s.units, 2 * s.latents), nn.Linear(s.units, 2 * s.latents)
            self.predictor = Over(s.code + s.latents, s.predictor_layers, fused)
            self.say = nn.Sequential(nn.Linear(s.units, s.code), nn.Tanh())

        def encode(self, x):  # [N, 1, H, W]
            maps = []
            for layer in self.down:
                x = layer(x)
                maps.append(x)
            return self.code(x).flatten(1), maps

        def decode(self, g, maps):  # [N, C]
            x = self.uncode(g[:, :, None, None])
            for layer, skip in zip(self.up, maps[::-1], strict=True):
                x = layer(torch.cat([x, skip], 1))
            return torch.sigmoid(self.last(x))

    return SVG


def pytorch(case, at_once):
    import torch
    from torch import nn

    torch.manual_seed(0)
    s = SimpleNamespace(**case["settings"])
    model = networks(s)(at_once)
    adam = torch.optim.Adam(model.parameters(), lr=s.learning_rate, eps=s.epsilon)
    x = torch.from_numpy(videos(case)).movedim(-1, 2)  # [N, T, 1, H, W]
    length = case["frames"]
    skipped = [min(t, s.past) - 1 for t in range(1, length)]  # frames whose maps the frames from the second take

    def gaussian(y):
        mean, log_variance = y.chunk(2, -1)
        return mean, log_variance

    def together(x):
        b = len(x)
        h, maps = model.encode(x.flatten(0, 1))
        h = h.unflatten(0, (b, length))
        before = nn.functional.pad(h[:, :-1], (0, 0, 1, 0))
        q, p = gaussian(model.q(model.posterior(h))), gaussian(model.p(model.prior(before)))
        z = q[0] + (q[1] / 2).exp() * torch.randn_like(q[0])
        g = model.say(model.predictor(torch.cat([before, z], -1)))[:, 1:].flatten(0, 1)
        maps = [m.unflatten(0, (b, length))[:, skipped].flatten(0, 1) for m in maps]
        return [part[:, 1:] for part in q], [part[:, 1:] for part in p], model.decode(g, maps).unflatten(0, (b, -1))

    def one_by_one(x):
        before = torch.zeros(len(x), s.code)
        states, found, held = [None, None, None], [], None
        for t, frame in enumerate(x.unbind(1)):
            h, maps = model.encode(frame)
            y, states[0] = model.posterior.step(h, states[0])
            q = gaussian(model.q(y))
            y, states[1] = model.prior.step(before, states[1])
            p = gaussian(model.p(y))
            z = q[0] + (q[1] / 2).exp() * torch.randn_like(q[0])
            y, states[2] = model.predictor.step(torch.cat([before, z], -1), states[2])
            if t:
                found.append((*q, *p, model.decode(model.say(y), held)))
            if t < s.past:
                held = maps
            before = h
        parts = [torch.stack(part, 1) for part in zip(*found, strict=True)]
        return parts[:2], parts[2:4], parts[4]

    def step(x):
        (mq, vq), (mp, vp), frames = together(x) if at_once else one_by_one(x)
        kl = 0.5 * (vp - vq + (vq.exp() + (mq - mp) ** 2) / vp.exp() - 1).sum()
        variance = ((x[:, 1:] - frames) ** 2).mean().clamp_min(1e-12)
        nll = 0.5 * frames.numel() * (torch.log(2 * torch.pi * variance) + 1)
        loss = (nll + kl) / len(x)
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss.detach()

    def epoch():
        total = 0.0
        for index in torch.randperm(len(x)).split(case["batch"]):
            total = total + step(x[index])
        float(total)
        return case["steps"]

    return epoch


CONTESTANTS = {
    "PyTorch, frames at once": Contestant(lambda case: pytorch(case, True), packages=("torch",)),
    "PyTorch, frame by frame": Contestant(lambda case: pytorch(case, False), packages=("torch",)),
    "vaekit on JAX": Contestant(vaekit, "jax"),
    "vaekit on TensorFlow": Contestant(vaekit, "tensorflow"),
}
GOALS = [Goal("vaekit on JAX", "PyTorch, frames at once", 0.9, case) for case in CASES]

if __name__ == "__main__":
    harness.main(__file__, CASES, CONTESTANTS, "ms a step", GOALS, rounds=3)
