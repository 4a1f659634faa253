"""Autoregressive likelihoods of token sequences: language models, given z or nothing but earlier words."""

from numbers import Integral, Real

import keras
from keras import ops

from vaekit import backend
from vaekit.backend import tfd, tfp
from vaekit.batches import check_counts
from vaekit.layers.autoregressive import AutoregressiveDistribution
from vaekit.layers.blocks import float32_by_default
from vaekit.layers.likelihoods.tokens import NEVER, Tokens, without
from vaekit.layers.stacks import ELEMENTWISE, Stack, shapes_of
from vaekit.layers.stepping import Memory
from vaekit.marks import START, UNKNOWN

L = keras.layers
RECURRENT = (L.LSTM, L.GRU, L.SimpleRNN)
# Layers without a weight matrix, which treat each place alone
PLACEWISE = (*ELEMENTWISE, L.LayerNormalization, L.RMSNormalization)


@keras.saving.register_keras_serializable("vaekit")
class AutoregressiveTokens(Stack):
    r"""Language model given z: $p(x|z) = \prod_t p(w_t \mid w_{<t}, z)$, the tokens of a sequence in their order.

    The layers run on the sequence shifted by one place, a start mark before its first word: an embedding, then
    recurrent layers or causal convolutions, at last `Tokens`. z is joined to the embedded words, at every place; with
    `skip=True` it enters every layer, `Tokens` too.

    ```python
    decoder = vk.layers.AutoregressiveTokens(
        [keras.layers.Embedding(10_000, 256), keras.layers.LSTM(256, return_sequences=True),
         vk.layers.Tokens(80, vocabulary=10_000)])
    ```

    Called on z (a tensor or a list of them: vectors, or sequences `[B, T, C]`) it returns a distribution of batch shape
    `[B]` over sequences `[T]`. A density costs one run of the network; a sample is one compiled loop, in which each
    layer does the new word's work alone. `generate` draws at a temperature, `search` looks for the most probable
    sequence. It has no mean.

    Args:
        layers: list: an `Embedding` first, and `Tokens` last; between them recurrent layers with
            `return_sequences=True`, `Conv1D` with `padding="causal"`, `Dense`, and elementwise layers.
        skip: whether z enters every layer.
        initial_state: whether the recurrent layers start from $h_0 = W z$, with a W for each, not from 0.
        word_dropout: probability that an earlier word is hidden in training: the unknown word stands in its place, so
            that z is needed to know it.
        start, unknown: numbers of the start mark, and of the unknown word.

    Raises:
        ValueError: layers that would let a word see itself or later ones, or sizes that do not fit.

    Source: Bowman et al. 2016 (word dropout); Dieng et al. 2019, section 4.2 (skip connections).
    """

    def __init__(
        self, layers, skip=False, initial_state=False, word_dropout=0.0, start=START, unknown=UNKNOWN, **kwargs
    ):
        super().__init__(layers, skip, **float32_by_default(kwargs))
        self.initial_state, self.start, self.unknown = bool(initial_state), int(start), int(unknown)
        self.head = self.layers[-1]
        _check_layers(self.layers, self.start)
        self.head.start = self.start
        if not 0 <= word_dropout <= 1:
            raise ValueError(f"word_dropout is a probability; received {word_dropout!r}.")
        self.word_dropout = float(word_dropout)
        self.seed_generator = keras.random.SeedGenerator() if word_dropout else None
        self.first = next(i for i, layer in enumerate(self.layers) if i and not isinstance(layer, PLACEWISE))
        self.starts = {
            i: L.Dense(layer.units, name=f"start_{i}", dtype=self.dtype_policy)
            for i, layer in enumerate(self.layers)
            if self.initial_state and isinstance(layer, RECURRENT)
        }

    def layer_inputs(self, i, h, first, skips):
        """Lists layer i's inputs: those of the embedding are the tokens, and z enters first what comes after it."""
        tokens, *z = first
        if i == 0:
            return [tokens]
        enters = i == self.first or skips and not isinstance(self.layers[i], PLACEWISE)
        return [h, *z] if enters else [h]

    def build(self, input_shape):
        z, (length,) = shapes_of(input_shape), self.head.event_shape
        wrong = [shape for shape in z if len(shape) not in (2, 3) or len(shape) == 3 and shape[1] != length]
        if wrong:
            raise ValueError(
                f"AutoregressiveTokens takes vectors [B, D], or sequences [B, {length}, C]; received shapes {wrong}."
            )
        self.context_shapes = tuple(shape[1:] for shape in z)
        vectors = sum(shape[-1] for shape in z if len(shape) == 2)
        if self.initial_state and not vectors:
            raise ValueError("initial_state=True computes a state from vectors z [B, D]; there are only sequences.")
        self.build_layers([(z[0][0], length), *[(shape[0], length, shape[-1]) for shape in z]], self.skip)
        for start in self.starts.values():
            start.build((None, vectors))
        # one program for all draws: on TensorFlow a loop outside a program is one in Python
        self.draw = backend.compile(self._draw, differentiable=True)
        self._generate, self._search = backend.compile(self._generated), {}

    def call(self, inputs, training=False):
        context = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        return AutoregressiveDistribution(self, context, training)

    def conditional(self, x, z, training=False):
        """Computes p(w_t | w_{<t}, z) for all places t at once, from tokens `[N, T]` and a list of z `[N, ...]`.

        Returns: the last layer's `tfd.Distribution`, batch shape `[N]`.
        """
        tokens = ops.cast(x, "int32")
        n, length = ops.shape(tokens)
        before = ops.concatenate([ops.full((n, 1), self.start, "int32"), tokens[:, :-1]], axis=1)  # [N, T]
        if self.word_dropout and training:
            hidden = keras.random.uniform((n, length), seed=self.seed_generator) < self.word_dropout
            before = ops.where(hidden & (before != self.start), self.unknown, before)
        states, h = self.first_states(z), None
        places = [along(tensor, length) for tensor in z]  # [N, T, C]
        for i, (join, layer) in enumerate(zip(self.joins, self.layers, strict=True)):
            h = join(self.layer_inputs(i, h, [before, *places], self.skip))
            options = {"initial_state": states[i]} if i in states else {}
            h = layer(h, training=training, **options)  # [N, T, C]
        return h

    def first_states(self, z):
        """Computes the states of recurrent layers before the first word: dict of lists of `[N, units]` by number."""
        if not self.starts:
            return {}
        vectors = ops.concatenate([tensor for tensor in z if len(tensor.shape) == 2], axis=-1)
        states = {i: ops.cast(start(vectors), self.layers[i].compute_dtype) for i, start in self.starts.items()}
        return {i: [h, ops.zeros_like(h)] if isinstance(self.layers[i], L.LSTM) else [h] for i, h in states.items()}

    def generate(self, z, temperature=1.0, seed=None):
        r"""Draws a sequence for each z: from $p(w_t | w_{<t}, z)^{1/\tau}$, scaled to add up to 1, word by word.

        Args:
            z: as in a call; of a language model, which is given none, how many sequences.
            temperature: τ; 1 draws from p(x|z), and 0 takes the most probable word each time (greedy decoding).
            seed: an int, or a `keras.random.SeedGenerator`.

        Returns: tokens `[B, T]`.

        Raises:
            ValueError: a negative temperature; a missing seed, where there is something to draw; z of other shapes.
        """
        if not (isinstance(temperature, Real) and temperature >= 0):
            raise ValueError(f"A temperature is at least 0; received {temperature!r}.")
        if seed is None and temperature > 0:
            raise ValueError("generate draws words: pass a seed, or temperature=0 for the most probable ones.")
        z = self._context(z)
        values = [variable.value for variable in self.variables]
        key = backend.seed(0 if seed is None else seed)
        return self._generate(values, z, key, ops.convert_to_tensor(float(temperature), "float32"))

    def search(self, z, beams=10):
        """Looks for the most probable sequence for each z, by beam search: the best `beams` beginnings go on.

        Returns: tokens `[B, T]`, and their log p(x|z) `[B]`, in nats.

        Raises:
            ValueError: no beams, z of other shapes.
        """
        check_counts("search", beams=beams)
        if beams not in self._search:
            self._search[beams] = backend.compile(lambda values, z: self._searched(values, z, beams))
        return self._search[beams]([variable.value for variable in self.variables], self._context(z))

    def _context(self, z):
        if isinstance(z, Integral):
            z = ops.zeros((z, *self.head.places, 0))  # given nothing
        context = [ops.cast(tensor, "float32") for tensor in (z if isinstance(z, (list, tuple)) else [z])]
        if not self.built:
            self(context)
        shapes = tuple(tuple(tensor.shape[1:]) for tensor in context)
        if shapes != self.context_shapes:
            expected, received = ([["B", *shape] for shape in each] for each in (self.context_shapes, shapes))
            raise ValueError(f"This network is given z of shapes {expected}; received {received}.")
        return context

    def _draw(self, values, z, seed):
        """Draws sequences `[N, T]`, given values of the variables, and a list of tensors z `[N, ...]`."""
        return self._generated(values, z, seed, None)

    def _generated(self, values, z, seed, temperature):
        (length,) = self.head.event_shape
        n, seeds = ops.shape(z[0])[0], ops.stack(tfp.random.split_seed(seed, length))

        def word(logits, t):
            if temperature is None:
                return tfd.Categorical(logits).sample(seed=seeds[t])
            noise = tfd.Gumbel(ops.zeros_like(logits), 1.0).sample(seed=seeds[t])
            return ops.argmax(logits + temperature * noise, axis=-1)  # [N]

        with backend.Scope(zip(self.variables, values, strict=True)):
            sampler = WordSampler(self, z)

            def step(t, state):
                tokens, last, ended, states = state
                logits, states = sampler.logits(last, states, t)  # [N, V]
                new = ops.where(ended, self.head.padding, ops.cast(word(logits, t), "int32"))  # [N]
                tokens = ops.slice_update(tokens, (0, t), new[:, None])
                return tokens, new, ended | (new == self.head.end), states

            start = ops.full((n, length), self.head.padding, "int32"), ops.full((n,), self.start, "int32")
            state = *start, ops.zeros((n,), "bool"), sampler.first_states()
            return ops.cast(ops.fori_loop(0, length, step, state)[0], "float32")  # [N, T]

    def _searched(self, values, z, beams):
        (length,), head = self.head.event_shape, self.head
        n, v = ops.shape(z[0])[0], head.vocabulary
        z = [ops.repeat(tensor, beams, axis=0) for tensor in z]  # [N·K, ...]
        rows = ops.arange(n)[:, None] * beams  # where a sequence's beams begin

        with backend.Scope(zip(self.variables, values, strict=True)):
            sampler = WordSampler(self, z)

            def step(t, state):
                tokens, last, score, ended, states = state
                logits, states = sampler.logits(last, states, t)
                log_p = logits - ops.logsumexp(logits, axis=-1, keepdims=True)  # [N·K, V]
                over = ops.where(ops.arange(v) == head.padding, 0.0, NEVER)  # what has ended stays as it is
                log_p = ops.where(ended[:, None], over, log_p)
                total = ops.reshape(score[:, None] + log_p, (n, beams * v))
                score, best = ops.top_k(total, beams)  # [N, K]
                beam, new = ops.reshape(rows + best // v, (-1,)), ops.reshape(best % v, (-1,))  # [N·K]
                new = ops.cast(new, "int32")
                tokens, ended, states = keras.tree.map_structure(
                    lambda tensor: ops.take(tensor, beam, axis=0), (tokens, ended, states)
                )
                tokens = ops.slice_update(tokens, (0, t), new[:, None])
                return tokens, new, ops.reshape(score, (-1,)), ended | (new == head.end), states

            first = ops.where(ops.arange(n * beams) % beams == 0, 0.0, NEVER)  # all beams begin alike: with one
            start = ops.full((n * beams, length), head.padding, "int32"), ops.full((n * beams,), self.start, "int32")
            state = *start, first, ops.zeros((n * beams,), "bool"), sampler.first_states()
            tokens, _, score, *_ = ops.fori_loop(0, length, step, state)
            return ops.reshape(tokens, (n, beams, length))[:, 0], ops.reshape(score, (n, beams))[:, 0]

    def get_config(self):
        names = ("initial_state", "word_dropout", "start", "unknown")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class WordSampler:
    """Runs an `AutoregressiveTokens` network word by word, see `vaekit.layers.stepping`.

    Args:
        network: `AutoregressiveTokens`, built.
        z: list of tensors `[N, ...]`.
    """

    def __init__(self, network, z):
        self.network, self.n = network, ops.shape(z[0])[0]
        self.places = [along(tensor, network.head.event_shape[0]) for tensor in z]  # [N, T, C]
        self.starts = network.first_states(z)

    def first_states(self):
        """The layers' states before the first word: list of tensors, or lists of them, `[N, ...]`."""
        memory = Memory(None, 0)
        self._run(memory, ops.zeros((self.n,), "int32"))
        return memory.before

    def logits(self, last, states, t):
        """Computes the logits `[N, V]` of the word at place t, from the last one, `[N]`, and the states after it."""
        memory = Memory(states, t)
        return self._run(memory, last), memory.after

    def _run(self, memory, last):
        network, h = self.network, None
        here = [ops.slice(z, (0, memory.t, 0), (self.n, 1, z.shape[-1])) for z in self.places]  # [N, 1, C]
        for i, (join, layer) in enumerate(zip(network.joins, network.layers, strict=True)):
            h = join(network.layer_inputs(i, h, [last[:, None], *here], network.skip))  # [N, 1, C]
            if layer is network.head:
                return without(layer.parameter_values(h)["logits"], layer.padding)[:, 0]
            h = memory.run(layer, h, **({"initial_state": self.starts[i]} if i in self.starts else {}))


def along(tensor, length):
    """Repeats a vector z `[N, D]` at all places, `[N, T, D]`; a sequence stays one, as long as there are places."""
    if len(tensor.shape) == 2:
        return ops.repeat(tensor[:, None], length, axis=1)
    return tensor[:, :length]


def _check_layers(layers, start):
    """Raises ValueError unless layers are an embedding, causal ones, and `Tokens`."""
    first, *between, head = layers if len(layers) > 2 else (None, None)
    if not isinstance(first, L.Embedding) or not isinstance(head, Tokens) or not between:
        raise ValueError(
            "AutoregressiveTokens expects a list of an Embedding, then other layers, and Tokens at last; received "
            f"{[type(layer).__name__ for layer in layers]}."
        )
    if first.input_dim != head.vocabulary or not 0 <= start < first.input_dim:
        raise ValueError(
            f"The embedding has {first.input_dim} tokens, Tokens has {head.vocabulary}, and the start mark is the "
            f"number {start}: give both layers the size of one vocabulary, which has the mark in it."
        )
    if first.mask_zero:
        raise ValueError(
            "The decoder's Embedding should have mask_zero=False: what is padding costs nothing already, and a mask "
            "would hold the states before it."
        )
    for layer in between:
        recurrent = isinstance(layer, RECURRENT) and layer.return_sequences and not layer.return_state
        recurrent = recurrent and not (layer.go_backwards or layer.stateful)
        convolution = isinstance(layer, L.Conv1D) and layer.padding == "causal" and layer.strides == (1,)
        plain = isinstance(layer, PLACEWISE) and getattr(layer, "axis", -1) in (-1, 2, [-1], [2])
        if not (recurrent or convolution or plain or isinstance(layer, L.Dense)):
            raise ValueError(
                f"{type(layer).__name__} (layer {layer.name!r}) may let a word see itself or later ones, "
                "or returns a state, too. AutoregressiveTokens expects LSTM, GRU or SimpleRNN with "
                "return_sequences=True and return_state=False, Conv1D with "
                'padding="causal", Dense, and elementwise layers.'
            )
    if all(isinstance(layer, PLACEWISE) for layer in between):
        raise ValueError("AutoregressiveTokens expects a layer that sees earlier words, such as an LSTM.")
