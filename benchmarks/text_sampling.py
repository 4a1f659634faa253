"""How long does a sentence take, when 100 of them are drawn from a language model's prior?

The decoder of `text_training.py`: 10,000 words, an LSTM of 256, z of 32 numbers; sentences of 83 tokens, whose end mark
is as likely as any word. "A call a word" is what Keras offers: the network as a `keras.Model`, from all words to the
logits at all places, called for each word (`predict_on_batch`) and drawn from by NumPy; only the first words of each
sentence are drawn, since each costs the same. PyTorch keeps the LSTM's state.
"""

import harness
import numpy as np
from harness import Contestant, Goal
from text_training import EMBEDDING, LATENTS, LONGEST, UNITS, WORDS

CASE = "100 sentences"
CASES = {CASE: {"sentences": 100, "words": 2}}


def latents(case):
    return np.random.default_rng(0).normal(size=(case["sentences"], LATENTS)).astype("float32")


def vaekit(case):
    import keras

    import vaekit as vk

    layers = [keras.layers.Embedding(WORDS, EMBEDDING), keras.layers.LSTM(UNITS, return_sequences=True)]
    decoder = vk.layers.AutoregressiveTokens([*layers, vk.layers.Tokens(LONGEST, WORDS)], initial_state=True)
    z = latents(case)
    decoder(z)

    def sentences():
        np.asarray(decoder.generate(z, seed=0))
        return len(z)

    return sentences


def calls(case):
    """The same network as a Keras model, called with all words so far, as long as a sentence: one program."""
    import keras

    L = keras.layers
    words, z = L.Input((LONGEST,), dtype="int32"), L.Input((LATENTS,))
    h = L.Concatenate()([L.Embedding(WORDS, EMBEDDING)(words), L.RepeatVector(LONGEST)(z)])
    start = L.Dense(UNITS)(z)
    h = L.LSTM(UNITS, return_sequences=True)(h, initial_state=[start, L.Lambda(keras.ops.zeros_like)(start)])
    network, drawn = keras.Model([words, z], L.Dense(WORDS)(h)), latents(case)
    rng = np.random.default_rng(0)

    def sentences():
        x = np.zeros((len(drawn), LONGEST), "int32")
        x[:, 0] = 2  # the start mark
        for t in range(case["words"]):
            logits = network.predict_on_batch([x, drawn])[:, t]  # [N, words]
            x[:, t + 1] = np.argmax(logits + rng.gumbel(size=logits.shape), axis=-1)
        return len(drawn) * case["words"] / LONGEST

    return sentences


def pytorch(case):
    """The same network as plain PyTorch code, word by word."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    embedding, cell = nn.Embedding(WORDS, EMBEDDING), nn.LSTMCell(EMBEDDING + LATENTS, UNITS)
    start, head, z = nn.Linear(LATENTS, UNITS), nn.Linear(UNITS, WORDS), torch.from_numpy(latents(case))

    def sentences():
        with torch.no_grad():
            h, word = start(z), torch.full((len(z),), 2)
            c, x = torch.zeros_like(h), []
            for _ in range(LONGEST):
                h, c = cell(torch.cat([embedding(word), z], 1), (h, c))
                word = torch.distributions.Categorical(logits=head(h)).sample()
                x.append(word)
            torch.stack(x, 1).numpy()
        return len(z)

    return sentences


BACKENDS = {"JAX": "jax", "TensorFlow": "tensorflow"}
CONTESTANTS = {
    "PyTorch, word by word": Contestant(pytorch, packages=("torch",)),
    **{f"a call a word on {name}": Contestant(calls, backend) for name, backend in BACKENDS.items()},
    **{f"vaekit on {name}": Contestant(vaekit, backend) for name, backend in BACKENDS.items()},
}
GOALS = [Goal(f"vaekit on {name}", f"a call a word on {name}", 1 / 20, CASE) for name in BACKENDS]

if __name__ == "__main__":
    harness.main(__file__, CASES, CONTESTANTS, "ms a sentence", GOALS, rounds=3)
