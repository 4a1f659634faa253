"""Priors p(z): Keras layers that need no input and offer `distribution()`."""

import keras
import numpy as np
from keras import ops

from vaekit.backend import integer_seed, tfd, tfp
from vaekit.batches import check_counts
from vaekit.distributions import NormalMixture
from vaekit.layers.blocks import float32_by_default
from vaekit.layers.density import Events
from vaekit.layers.distribution import event_shape
from vaekit.layers.over_time import OverTime


class Prior(keras.layers.Layer):
    """A distribution over a latent variable that depends on nothing but its own weights.

    A subclass defines `distribution()`, with empty batch shape, and creates its weights in `build(shape)`, where
    `shape` is the latent's, batch axis left out. A model builds its priors itself, from its encoder's output.

    Args:
        event_shape: shape of the latent, an int for a vector; None: the model sets it. (A subclass with layers inside
            leaves it None: Keras adds no layers to one that is built.)
    """

    def __init__(self, event_shape=None, **kwargs):
        super().__init__(**float32_by_default(kwargs))
        self.event_shape, self._given_shape = None, event_shape
        if event_shape is not None:
            self.build((event_shape,) if isinstance(event_shape, int) else tuple(event_shape))

    def build(self, input_shape):
        self.event_shape = tuple(int(n) for n in input_shape)

    @property
    def shape(self):
        """The event shape of a built prior."""
        if self.event_shape is None:
            raise ValueError(
                f"This {type(self).__name__} does not know the latent's shape yet: say {type(self).__name__}(20), or "
                "build the model that it belongs to."
            )
        return self.event_shape

    def distribution(self):
        """The prior as a `tfd.Distribution` with batch shape `[]` and this event shape."""
        raise NotImplementedError(f"{type(self).__name__} must define distribution().")

    def call(self, *args, **kwargs):
        raise TypeError(f"A prior has no input: use {type(self).__name__}.distribution() instead of calling it.")

    def __call__(self, *args, **kwargs):
        return self.call()

    def independent(self, distribution):
        """Sums log-densities over the event's axes."""
        return tfd.Independent(distribution, reinterpreted_batch_ndims=len(self.event_shape))

    def get_config(self):
        return {**super().get_config(), "event_shape": self._given_shape}


@keras.saving.register_keras_serializable("vaekit")
class StandardNormal(Prior):
    r"""$p(z) = \mathcal N(0, I)$.

    Source: Kingma & Welling 2014, section 3.
    """

    def distribution(self):
        zeros = ops.zeros(self.shape, "float32")
        return self.independent(tfd.Normal(zeros, ops.ones_like(zeros)))


@keras.saving.register_keras_serializable("vaekit")
class LearnedNormal(Prior):
    r"""$p(z) = \mathcal N(\mu, \mathrm{diag}\,\sigma^2)$, learned; μ and log σ² start at the standard normal.

    Args:
        event_shape: as for `Prior`; the weights `mean` and `log_variance` have this shape.
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.mean = self.add_weight(shape=self.event_shape, initializer="zeros", name="mean")
        self.log_variance = self.add_weight(shape=self.event_shape, initializer="zeros", name="log_variance")

    def distribution(self):
        zeros = ops.zeros(self.shape, dtype="float32")
        return self.independent(tfd.Normal(zeros + self.mean, ops.exp((zeros + self.log_variance) / 2)))


@keras.saving.register_keras_serializable("vaekit")
class MixtureOfNormals(Prior):
    r"""$p(z) = \sum_k \pi_k\, \mathcal N(z; \mu_k, \mathrm{diag}\,\sigma_k^2)$, learned.

    Args:
        components: K.
        learned_weights: learn π, which starts uniform; False: it stays 1/K.
        mean_scale: the means start as draws from $\mathcal N(0, \text{mean\_scale}^2)$; the σ start at 1.
        seed: integer for the start.

    Source: the "MoG" prior of Tomczak & Welling 2018, section 6.2.
    """

    def __init__(self, components, learned_weights=False, mean_scale=1.0, seed=None, event_shape=None, **kwargs):
        check_counts("MixtureOfNormals", components=components)
        self.components = int(components)
        self.learned_weights, self.mean_scale = bool(learned_weights), float(mean_scale)
        self.seed = None if seed is None else integer_seed(seed)
        super().__init__(event_shape, **kwargs)

    def build(self, input_shape):
        super().build(input_shape)
        shape = (self.components, *self.event_shape)
        start = keras.initializers.RandomNormal(stddev=self.mean_scale, seed=self.seed)
        self.mean = self.add_weight(shape=shape, initializer=start, name="mean")
        self.log_variance = self.add_weight(shape=shape, initializer="zeros", name="log_variance")
        if self.learned_weights:
            self.logits = self.add_weight(shape=(self.components,), initializer="zeros", name="logits")

    def distribution(self):
        mean, scale = ops.convert_to_tensor(self.mean), ops.exp(self.log_variance / 2)
        logits = ops.convert_to_tensor(self.logits) if self.learned_weights else None
        return NormalMixture(mean, scale, logits)

    def get_config(self):
        names = ("components", "learned_weights", "mean_scale", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


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
    clipped to `value_range` wherever they are used (so that the gradient of one outside is zero).

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
        learned: False keeps the pseudo-inputs as they are (`VampPrior.from_data`).
        input_shape: shape of one pseudo-input; None: the encoder's input shape.
        seed: integer for the start.

    Raises:
        ValueError: an encoder that expects another shape, or describes another latent than the prior's; when built, an
            encoder that begins with an `Embedding`, unless `learned=False`.

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
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(encoder, keras.layers.Layer):
            raise ValueError(f"VampPrior expects the model's encoder, a Keras layer; received {encoder!r}.")
        if value_range is not None and not value_range[0] < value_range[1]:
            raise ValueError(f"VampPrior expects value_range (low, high) with low < high; received {value_range!r}.")
        check_counts("VampPrior", components=components)
        self.encoder, self.components = encoder, int(components)
        self.mean, self.stddev, self.value_range, self.learned = mean, stddev, value_range, bool(learned)
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
            ValueError: fewer examples than components, or values outside `value_range`.
        """
        check_counts("VampPrior.from_data", components=components)
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
        self.unclipped_inputs = self.add_weight(
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

    def _clipped(self):
        inputs = ops.convert_to_tensor(self.unclipped_inputs)  # [K, ...]
        return inputs if self.value_range is None else ops.clip(inputs, *self.value_range)

    @property
    def pseudo_inputs(self):
        """The pseudo-inputs u as they are used, NumPy array `[K, ...]`, shaped like the data."""
        if not self.built:
            raise ValueError("A VampPrior makes its pseudo-inputs when its model is built: model.build(shape).")
        return ops.convert_to_numpy(self._clipped())

    def distribution(self):
        q = self.encoder(self._clipped())  # q(z|u_k), batch [K]
        if isinstance(q, tfd.Independent) and type(q.distribution) is tfd.Normal:
            return NormalMixture(q.distribution.loc, q.distribution.scale)
        return tfd.MixtureSameFamily(tfd.Categorical(logits=ops.zeros(self.components, "float32")), q)

    def get_config(self):
        names = ("components", "mean", "stddev", "value_range", "learned", "seed")
        shape = self._given_input_shape
        config = {k: v for k, v in super().get_config().items() if k != "event_shape"}
        config |= {"encoder": keras.saving.serialize_keras_object(self.encoder), "input_shape": shape}
        return {**config, **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "encoder": keras.saving.deserialize_keras_object(config["encoder"])})


@keras.saving.register_keras_serializable("vaekit")
class RealNVP(Prior):
    r"""A flow: standard normal noise ε through K affine couplings, each of which changes one half of the coordinates.

    $(a, b) \mapsto (a,\ b \odot e^{s_k(a)} + t_k(a))$, then the order of coordinates is reversed, so that the next
    coupling changes others. $\log p(z) = \log \mathcal N(\varepsilon; 0, I) - \sum_k \sum_d s_k(a_k)_d$. The functions
    $t_k$ and $s_k \in (-1, 1)$ are networks with one hidden layer; they start at 0, and the prior at N(0, I).

    ```python
    vae = vk.VAE(encoder, decoder, prior=vk.priors.RealNVP(couplings=4, units=64))
    ```

    Its KL has no closed form: objectives estimate it (`ELBO(analytic_kl=False)`, which is the default).

    Args:
        couplings: K.
        units: of each hidden layer.
        event_shape: as for `Prior`, an int of at least 2.
        seed: integer for the start.

    Raises:
        ValueError: a latent that is no vector of at least two numbers.

    Source: Dinh et al. 2017, eqs. 7 and 8; as a prior, Chen et al. 2017.
    """

    def __init__(self, couplings=4, units=64, event_shape=None, seed=None, **kwargs):
        check_counts("RealNVP", couplings=couplings, units=units)
        self.couplings, self.units = int(couplings), int(units)
        self.seed = None if seed is None else integer_seed(seed)
        super().__init__(event_shape, **kwargs)

    def build(self, input_shape):
        if len(input_shape) != 1 or input_shape[0] < 2:
            raise ValueError(
                f"RealNVP expects a latent that is a vector of at least two numbers, [2] say, since half of them "
                f"change the others; received the shape {list(input_shape)}."
            )
        kept = input_shape[0] // 2
        self.networks = [self._network(i, kept, 2 * (input_shape[0] - kept)) for i in range(self.couplings)]
        super().build(input_shape)

    def _network(self, i, inputs, outputs):
        """The network of s and t of a coupling, from the half that it keeps."""
        start = keras.initializers.GlorotUniform(seed=None if self.seed is None else self.seed + i)
        return keras.Sequential(
            [
                keras.Input((inputs,)),
                keras.layers.Dense(self.units, "relu", kernel_initializer=start, dtype=self.dtype_policy),
                keras.layers.Dense(outputs, kernel_initializer="zeros", dtype=self.dtype_policy),
            ],
            name=f"coupling_{i}",
        )

    def distribution(self):
        size, steps = self.shape[0], []
        for network in self.networks:
            steps += [_coupling(network, size // 2), tfp.bijectors.Permute(np.arange(size)[::-1].astype("int32"))]
        zeros = ops.zeros(self.shape, "float32")
        noise = self.independent(tfd.Normal(zeros, ops.ones_like(zeros)))
        return tfd.TransformedDistribution(noise, tfp.bijectors.Chain(steps))

    def get_config(self):
        return {**super().get_config(), **{name: getattr(self, name) for name in ("couplings", "units", "seed")}}


def _coupling(network, kept):
    r"""One step of a flow: $(a, b) \mapsto (a, b e^{\tanh v} + u)$ with (u, v) the network's answer to a."""

    def shift_and_log_scale(a, *sizes):
        u, v = ops.split(network(a), 2, axis=-1)
        return u, ops.tanh(v)

    return tfp.bijectors.RealNVP(num_masked=kept, shift_and_log_scale_fn=shift_and_log_scale)


@keras.saving.register_keras_serializable("vaekit")
class Classes(Prior):
    r"""Classes as one-hot vectors, $p(y) = \prod_k \pi_k^{y_k}$: all as probable, or with learned π.

    Args:
        learned: learn π, which starts uniform; False: it stays 1/K.
        event_shape: as for `Prior`; K, at least 2.

    Raises:
        ValueError: a latent that is no vector of at least two classes.
    """

    def __init__(self, learned=False, event_shape=None, **kwargs):
        self.learned = bool(learned)
        super().__init__(event_shape, **kwargs)

    def build(self, input_shape):
        if len(input_shape) != 1 or input_shape[0] < 2:
            raise ValueError(
                f"The prior Classes expects a latent that is a one-hot vector of at least two classes; "
                f"received the shape {list(input_shape)}."
            )
        super().build(input_shape)
        if self.learned:
            self.logits = self.add_weight(shape=self.event_shape, initializer="zeros", name="logits")

    def distribution(self):
        logits = ops.zeros(self.shape, "float32")
        logits = logits + self.logits if self.learned else logits
        return Events(tfd.OneHotCategorical(logits, dtype=logits.dtype), reinterpreted_batch_ndims=0)

    def get_config(self):
        return {**super().get_config(), "learned": self.learned}


@keras.saving.register_keras_serializable("vaekit")
class IndependentSteps(Prior):
    r"""The same prior at every step of a sequence: $p(z) = \prod_t p(z_t)$.

    ```python
    vk.Factor("z", vk.priors.IndependentSteps(vk.priors.StandardNormal()))
    ```

    Args:
        prior: of a step.
        known: number of steps at the beginning that are given, as for `vaekit.layers.TimeDistributed`.
    """

    over_time = True

    def __init__(self, prior, known=0, event_shape=None, **kwargs):
        self.prior, self.known = prior, int(known)
        super().__init__(event_shape, **kwargs)

    def build(self, input_shape):
        if not self.prior.built:
            self.prior.build(input_shape[1:])
        super().build(input_shape)

    def distribution(self):
        return OverTime(self.prior.distribution(), self.shape[:1], self.known)

    def get_config(self):
        prior = keras.saving.serialize_keras_object(self.prior)
        return {**super().get_config(), "prior": prior, "known": self.known}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "prior": keras.saving.deserialize_keras_object(config["prior"])})


def weight_prior(examples):
    r"""The prior $p(\theta) = \mathcal N(0, I)$ on weights as a Keras regularizer: $\|\theta\|^2 / 2N$.

    Added to a loss that is a mean over examples, it makes the weights' estimate MAP instead of maximum likelihood.

    Args:
        examples: N, the number of training examples.

    Source: Kingma & Welling 2014, section 5.
    """
    if not examples > 0:
        raise ValueError(f"weight_prior expects the number of training examples, at least 1; received {examples!r}.")
    return keras.regularizers.L2(0.5 / examples)
