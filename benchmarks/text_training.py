"""How long does a token take in training a VAE of sentences, with everything that `fit` does around it?

The LSTM-VAE for the Penn Treebank of `vaekit.papers.dieng2018.text`, float32: 10,000 words, embedding and LSTMs of 256,
32 latent units, batches of 32 sentences, gradients clipped, Adam. Sentences are random, of 22 tokens, or about as long
as the Treebank's, in batches by length; padding is no token. PyTorch runs `nn.LSTM`, or `nn.LSTMCell`
word by word, without padding that no sentence of a batch needs.
"""

from types import SimpleNamespace

import harness
import numpy as np
import rivals
from harness import Contestant, Goal

WORDS, EMBEDDING, UNITS, LATENTS, BATCH, LONGEST = 10_000, 256, 256, 32, 32, 83
CASES = {"22 tokens": {"lengths": "equal"}, "lengths as the Treebank's": {"lengths": "mixed"}}
STEPS = 12  # a repeat


def sentences(case):
    """Tokens `[N, T]`: words, the end mark 3, padding 0."""
    rng = np.random.default_rng(0)
    n = STEPS * BATCH
    lengths = np.full(n, 22)
    if case["lengths"] == "mixed":
        lengths = np.clip(rng.gamma(4.5, 4.9, n).round(), 2, LONGEST).astype(int)  # mean 22, deviation 10
    x = rng.zipf(1.2, (n, lengths.max())) % (WORDS - 4) + 4
    place = np.arange(lengths.max())
    return np.where(place < lengths[:, None] - 1, x, np.where(place == lengths[:, None] - 1, 3, 0))


def vaekit(case):
    from vaekit.batches import BatchesByLength
    from vaekit.papers.dieng2018 import text

    x = sentences(case)
    data = SimpleNamespace(name="random", train=x, event_shape=x.shape[1:], vocabulary=range(WORDS))
    model = text.lstm(data, LATENTS, settings=text.PTB, seed=0)
    own, tokens = BatchesByLength(x, BATCH, full=True), np.count_nonzero(x)

    def epoch():
        model.fit(own, verbose=0)
        return tokens

    return epoch


def pytorch(case, fused):
    """The same model as plain PyTorch code."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.manual_seed(0)

    class Cells(nn.Module):
        """An LSTM word by word, called as `nn.LSTM` is."""

        def __init__(self, inputs, units, batch_first):
            super().__init__()
            self.cell = nn.LSTMCell(inputs, units)

        def forward(self, x, state=None):
            outputs = []
            for here in x.unbind(1):
                state = self.cell(here, state)
                outputs.append(state[0])
            return torch.stack(outputs, 1), state

    LSTM = nn.LSTM if fused else Cells
    read, write = (nn.Embedding(WORDS, EMBEDDING) for _ in range(2))
    encoder = LSTM(EMBEDDING, UNITS, batch_first=True)
    decoder = LSTM(EMBEDDING + LATENTS, UNITS, batch_first=True)
    mean, log_scale, start, head = (
        nn.Linear(UNITS, LATENTS), nn.Linear(UNITS, LATENTS), nn.Linear(LATENTS, UNITS), nn.Linear(UNITS, WORDS)
    )  # fmt: skip
    networks = nn.ModuleList([read, write, encoder, decoder, mean, log_scale, start, head])
    for weights in networks.parameters():
        nn.init.uniform_(weights, -0.1, 0.1)
    adam = torch.optim.Adam(networks.parameters(), lr=1e-3)
    beta, x = 0.1, sentences(case)
    lengths = np.count_nonzero(x, axis=1)
    parts = np.split(np.argsort(lengths, kind="stable"), STEPS)  # by NumPy: TensorFlow beside PyTorch slows it
    own = [torch.from_numpy(x[part, : lengths[part].max()]) for part in parts]
    tokens = sum(int((x != 0).sum()) for x in own)

    def step(x):  # [B, T]
        last = (x != 0).sum(1) - 1
        h = encoder(read(x))[0][torch.arange(len(x)), last]  # [B, units]
        mu, log_sigma = mean(h), log_scale(h)
        z = mu + log_sigma.exp() * torch.randn_like(mu)
        kl = 0.5 * (mu**2 + (2 * log_sigma).exp() - 1 - 2 * log_sigma).sum()
        before = torch.cat([torch.full_like(x[:, :1], 2), x[:, :-1]], 1)
        words = F.dropout(write(before), 0.5)
        words = torch.cat([words, z[:, None].expand(-1, x.shape[1], -1)], 2)
        h0 = start(z)
        state = (h0, torch.zeros_like(h0))
        h, _ = decoder(words, (state[0][None], state[1][None]) if fused else state)
        logits = head(F.dropout(h, 0.5))  # [B, T, words]
        nll = F.cross_entropy(logits.flatten(0, 1), x.flatten(), ignore_index=0, reduction="sum")
        loss = (nll + beta * kl) / len(x)
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(networks.parameters(), 5.0)
        adam.step()
        return loss.detach()

    def epoch():
        total = 0.0
        for i in torch.randperm(len(own)):
            total = total + step(own[i])
        float(total)
        return tokens

    return epoch


def products(case):
    """The matrix products of a step of 22 tokens alone, forward and backward."""
    rows = BATCH * 22
    lstm = [(BATCH, UNITS, 4 * UNITS)] * 44  # the recurrent ones, word by word
    whole = [(rows, EMBEDDING, 4 * UNITS), (rows, EMBEDDING + LATENTS, 4 * UNITS), (rows, UNITS, WORDS)]
    layers = lstm + whole
    repeat = rivals.products(layers, [(n, a, b, True) for n, a, b in layers], times=STEPS)
    return lambda: repeat() * rows


CONTESTANTS = {
    "PyTorch, nn.LSTM": Contestant(lambda case: pytorch(case, True), packages=("torch",)),
    "PyTorch, nn.LSTMCell": Contestant(lambda case: pytorch(case, False), packages=("torch",)),
    "vaekit on JAX": Contestant(vaekit, "jax"),
    "vaekit on TensorFlow": Contestant(vaekit, "tensorflow"),
    "matrix products alone": Contestant(products, packages=("jax",), cases=("22 tokens",)),
}
GOALS = [
    Goal(f"vaekit on {backend}", "PyTorch, nn.LSTM", 1.0, case) for backend in ("JAX", "TensorFlow") for case in CASES
]

if __name__ == "__main__":
    harness.main(__file__, CASES, CONTESTANTS, "µs a token", GOALS, limit="matrix products alone", rounds=3)
