"""The encoder's answers to pseudo-inputs, as a prior."""

import keras
import numpy as np
from keras import ops

from vaekit.backend import integer_seed, tfd
from vaekit.batches import check_counts
from vaekit.distributions import NormalMixture
from vaekit.layers.distribution import event_shape
from vaekit.layers.over_time import TimeDistributed, output_layer
from vaekit.priors.prior import Prior


@keras.saving.register_keras_serializable("vaekit")
class VampPrior(Prior):
    r"""Variational mixture of posteriors: $p(z) = \frac1K \sum_k q(z | u_k)$, with learned pseudo-inputs $u_k$.

    ```python
    vae = vk.VAE(encoder, decoder, prior=vk.priors.VampPrior(encoder, components=500))
    vae.build((None, 28, 28, 1))  # as training does
    vk.plotting.image_grid(vae.prior.pseudo_inputs[:25])
    ```

    The prior shares the encoder of its latent: one object, one set of weights, also after saving and loading. Each
    sample comes from a component drawn uniformly. The pseudo-inputs are a weight shaped like the encoder's input,
    clipped to `value_range` wherever they are used: a pixel that has left the range has no gradient, and stays out.

    The prior runs the encoder in inference mode, in training too: without dropout, and with the running averages of
    batch normalization.

    Over sentences they are sentences of the data, `from_data`, and not learned: a token's number has no gradient. What
    has one, a mixture of all words at each place, is no sentence that an encoder has been trained on, and takes K T V
    weights: 4 · 10⁸ of them for 500 sentences of 80 places and 10,000 words.

    Args:
        encoder: network of q(z|x), with one input; its distribution layer is the factor's of this latent.
        components: K.
        mean, stddev: the pseudo-inputs start as draws from a normal distribution with these. Tomczak & Welling's:
            (0.05, 0.01) for MNIST and OMNIGLOT, (0.5, 0.02) for Caltech 101 and Frey Faces, (0.4, 0.05) for
            histopathology.
        value_range: `(low, high)` of the data, None: unbounded.
        squashed: whether the weight v comes into the range $(a, b)$ by a sigmoid, $u = a + (b - a) / (1 + e^{-v})$, in
            which no gradient vanishes, rather than by clipping. `mean` and `stddev` are those of v then.
        learned: False keeps the pseudo-inputs as they are (`VampPrior.from_data`).
        input_shape: shape of one pseudo-input; None: the encoder's input shape.
        seed: integer for the start.

    Raises:
        ValueError: an `event_shape`; an encoder that expects another shape, or describes another latent than the
            prior's, or a sequence step by step; when built, an encoder that begins with an `Embedding`, unless
            `learned=False`.

    Source: Tomczak & Welling 2018, eq. 10.
    """

    def __init__(
        self,
        encoder,
        components=500,
        mean=0.05,
        stddev=0.01,
        value_range=(0.0, 1.0),
        learned=True,
        input_shape=None,
        seed=None,
        squashed=False,
        **kwargs,
    ):
        if kwargs.get("event_shape") is not None:
            raise ValueError(
                "VampPrior is built after its encoder, whose latent's shape it takes: leave event_shape="
                f"{kwargs['event_shape']!r} out, and in a model of your own say prior.build(shape)."
            )
        super().__init__(**kwargs)
        if not isinstance(encoder, keras.layers.Layer):
            raise ValueError(f"VampPrior expects the model's encoder, a Keras layer; received {encoder!r}.")
        if not (value_range is None or (np.shape(value_range) == (2,) and value_range[0] < value_range[1])):
            raise ValueError(
                f"VampPrior expects value_range (low, high) with low < high, or None; received {value_range!r}."
            )
        if squashed and value_range is None:
            raise ValueError("VampPrior squashes pseudo-inputs into their value_range, which is None: say (0, 1).")
        check_counts("VampPrior", components=components)
        self.encoder, self.components = encoder, int(components)
        self.mean, self.stddev, self.value_range, self.learned = mean, stddev, value_range, bool(learned)
        self.squashed = bool(squashed)
        self._given_input_shape = None if input_shape is None else tuple(int(n) for n in input_shape)
        self.seed, self._data = None if seed is None else integer_seed(seed), None

    @classmethod
    def from_data(cls, encoder, x, components=500, stddev=0.0, learned=False, seed=0, **kwargs):
        r"""Makes the prior with pseudo-inputs that are training examples, "VampPrior-data" in the paper.

        Args:
            x: data `[N, ...]` in the prior's `value_range`, of which `components` are drawn without replacement.
            stddev: of normal noise added to them, once; the paper's code has 0.01.
            learned: whether training changes them.

        The examples are weights: a model's file has them, a prior's bare config has not.

        Raises:
            ValueError: fewer examples than components, or values outside `value_range`; `squashed`, by which black and
                white pixels cannot be had.
        """
        check_counts("VampPrior.from_data", components=components)
        if kwargs.get("squashed"):
            raise ValueError("VampPrior.from_data clips its examples: a sigmoid reaches neither end of value_range.")
        x = np.asarray(x, dtype="float32")
        low, high = kwargs.get("value_range", (0.0, 1.0)) or (-np.inf, np.inf)
        if x.size and not (low <= x.min() and x.max() <= high):
            raise ValueError(
                f"VampPrior.from_data clips pseudo-inputs to value_range=({low:g}, {high:g}), but the data lie in "
                f"[{x.min():g}, {x.max():g}]: scale them as the model's data, or say their value_range."
            )
        if len(x) < components:
            raise ValueError(f"VampPrior.from_data draws {components} of the examples, but received {len(x)}.")
        rng = np.random.default_rng(integer_seed(seed))
        rows = x[rng.permutation(len(x))[:components]]
        rows = rows + np.float32(stddev) * rng.standard_normal(rows.shape, dtype="float32")
        prior = cls(encoder, components, learned=learned, input_shape=rows.shape[1:], seed=seed, **kwargs)
        prior._data = rows
        return prior

    def build(self, input_shape):
        if isinstance(output_layer(self.encoder), TimeDistributed):
            raise ValueError(
                f"VampPrior expects an encoder of one latent; {self.encoder.name} describes a sequence of them, step "
                "by step. Give each step a prior: vaekit.priors.IndependentSteps(vaekit.priors.StandardNormal())."
            )
        shape = self._input_shape()
        event = event_shape(self.encoder, keras.KerasTensor((None, *shape), "float32"))
        if event != tuple(input_shape):
            raise ValueError(
                f"VampPrior's encoder ({self.encoder.name}) describes a latent of shape {event}, but the prior is of "
                f"one of shape {tuple(input_shape)}: give it the encoder of its own latent."
            )
        parts = getattr(self.encoder, "layers", ())
        words = min((part.input_dim for part in parts if isinstance(part, keras.layers.Embedding)), default=None)
        if self.learned and words is not None:
            raise ValueError(
                "VampPrior learns pseudo-inputs by their gradient, and the tokens of an Embedding have none; mixtures "
                "of words, which have one, are no sentences. Take sentences: VampPrior.from_data(encoder, tokens, "
                "components=100, value_range=None)."
            )
        data, self._data = self._data, None  # which the weight has from here on
        if words is not None and data is not None and ((data % 1).any() or data.min() < 0 or data.max() >= words):
            raise ValueError(
                f"The pseudo-inputs of an Embedding are tokens, whole numbers from 0 to {words - 1}; received "
                f"{data.min():g} to {data.max():g}. Take sentences of the model's vocabulary, and no noise, stddev=0."
            )
        normal = keras.initializers.RandomNormal(self.mean, self.stddev, seed=self.seed)
        self.unbounded_inputs = self.add_weight(
            shape=(self.components, *shape),
            initializer=normal if data is None else keras.initializers.Constant(data),
            trainable=self.learned,
            name="pseudo_inputs",
        )
        super().build(input_shape)

    def _input_shape(self):
        """Shape of one pseudo-input: of the encoder's input, or the given one where the encoder is yet to be built."""
        known = getattr(self.encoder, "input_shape", None) if self.encoder.built else None
        known = known or (self.encoder.get_build_config() or {}).get("input_shape")
        if known is not None and isinstance(known[0], (list, tuple)):
            raise ValueError(f"VampPrior expects an encoder of one input; {self.encoder.name} has inputs {known}.")
        given = self._given_input_shape
        if given and known and tuple(known[1:]) != given:
            raise ValueError(
                f"VampPrior was given pseudo-inputs of shape {given}, but its encoder ({self.encoder.name}) expects "
                f"inputs of shape {tuple(known[1:])}. Use the encoder of the model, and data shaped like the model's."
            )
        if not (given or known):
            raise ValueError(
                "VampPrior makes pseudo-inputs shaped like its encoder's input, not known yet. Build the model "
                "or the encoder first, or say VampPrior(encoder, input_shape=(28, 28, 1))."
            )
        return given or tuple(int(n) for n in known[1:])

    def _bounded_inputs(self):
        inputs = ops.convert_to_tensor(self.unbounded_inputs)  # [K, ...]
        if self.value_range is None:
            return inputs
        low, high = self.value_range
        return low + (high - low) * ops.sigmoid(inputs) if self.squashed else ops.clip(inputs, low, high)

    @property
    def pseudo_inputs(self):
        """The pseudo-inputs u as they are used, NumPy array `[K, ...]`, shaped like the data."""
        if not self.built:
            raise ValueError("A VampPrior makes its pseudo-inputs when its model is built: model.build(shape).")
        return ops.convert_to_numpy(self._bounded_inputs())

    def distribution(self):
        self.shape  # noqa: B018, raises ValueError before it is built
        q = self.encoder(self._bounded_inputs(), training=False)  # q(z|u_k), batch [K]
        if isinstance(q, tfd.Independent) and type(q.distribution) is tfd.Normal:
            return NormalMixture(q.distribution.loc, q.distribution.scale)
        return tfd.MixtureSameFamily(tfd.Categorical(logits=ops.zeros(self.components, "float32")), q)

    def get_config(self):
        names = ("components", "mean", "stddev", "value_range", "squashed", "learned", "seed")
        shape = self._given_input_shape
        config = {k: v for k, v in super().get_config().items() if k != "event_shape"}
        config |= {"encoder": keras.saving.serialize_keras_object(self.encoder), "input_shape": shape}
        return {**config, **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "encoder": keras.saving.deserialize_keras_object(config["encoder"])})
