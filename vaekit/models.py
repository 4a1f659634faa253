r"""Latent variable models as pairs of factorizations, p(x, z) and q(z|x).

A model is two lists of factors. `generative` multiplies to p(x, z), `inference` to q(z|x); in both, a factor comes
after those it is conditioned on. All else (bounds, likelihood estimates, diagnostics) is computed from a `Trace`:
samples drawn through the inference factors, and every log-density at them.
"""

from dataclasses import dataclass
from types import MappingProxyType

import keras
import numpy as np
from keras import ops

from vaekit import backend
from vaekit.backend import tfd
from vaekit.batches import Batches, DynamicBinarization
from vaekit.layers import DistributionLayer
from vaekit.objectives import ELBO, Objective
from vaekit.priors import Prior, StandardNormal


@dataclass(frozen=True)
class Factor:
    """One factor of a factorization: the distribution of `name` given other variables.

    Args:
        name: the variable, for instance `"z"`.
        layer: a network (layer or model) that ends in a distribution layer; or, with nothing given, a prior.
        given: name, or tuple of names, of the variables the distribution depends on. A network of several is
            called with the list of them, in this order.
    """

    name: str
    layer: keras.layers.Layer
    given: tuple = ()

    def __post_init__(self):
        object.__setattr__(self, "given", (self.given,) if isinstance(self.given, str) else tuple(self.given))
        if not self.given and not isinstance(self.layer, Prior):
            raise ValueError(
                f"Factor({self.name!r}) is conditioned on nothing, so its layer must be a prior (vaekit.priors); "
                f'received {type(self.layer).__name__}. Say given="x" for a network whose input is x.'
            )
        if self.given and isinstance(self.layer, Prior):
            raise ValueError(f"Factor({self.name!r}) has a prior for its layer: a prior can be given nothing.")

    def __call__(self, inputs, training=False):
        """The distribution, given a list of the variables it depends on, each `[N, ...]`."""
        if not self.given:
            return self.layer.distribution()
        inputs = inputs[0] if len(inputs) == 1 else inputs
        takes_training = getattr(self.layer, "_call_has_training_arg", False)
        output = self.layer(inputs, training=training) if takes_training else self.layer(inputs)
        if not isinstance(output, (tfd.Distribution, keras.KerasTensor)):
            raise ValueError(
                f"The network of {self.name!r} ({self.layer.name}) must end in a distribution layer, such as "
                f"vaekit.layers.DiagonalNormal or Bernoulli; it returned a {type(output).__name__}."
            )
        return output


@dataclass
class Trace:
    """Samples z ~ q(z|x) and all log-densities at them: what objectives and estimates are made of.

    Attributes:
        samples: S.
        values: variable name to its values: samples `[S, B, ...]`, observed data `[B, ...]`.
        q, p: factor name to its `tfd.Distribution`.
        log_q, log_p: factor name to its log-density `[S, B]`, in nats.
    """

    samples: int
    values: dict
    q: dict
    p: dict
    log_q: dict
    log_p: dict

    def log_weights(self, beta=1.0):
        r"""Log importance weights $\log p(x, z) - \log q(z|x)$, `[S, B]`.

        With β other than 1: $\log p(x|z) + \beta\,(\log p(z) - \log q(z|x))$.
        """
        latent = sum(self.log_p[name] - self.log_q[name] for name in self.log_q)
        observed = sum(value for name, value in self.log_p.items() if name not in self.log_q)
        return observed + beta * latent


def fold(value):
    """`[S, B, ...]` to `[S·B, ...]`, the form in which networks see samples."""
    return ops.reshape(value, (-1, *value.shape[2:]))


def unfold(value, samples):
    """`[S·B, ...]` to `[S, B, ...]`."""
    return ops.reshape(value, (samples, -1, *value.shape[1:]))


def tile(value, samples):
    """`[B, ...]` to `[S, B, ...]`, the same for every sample."""
    return ops.broadcast_to(value[None], (samples, *ops.shape(value)))


def location(distribution):
    """The mean of a distribution."""
    try:
        return distribution.mean()
    except NotImplementedError:
        raise NotImplementedError(
            f"The distribution {distribution.name} has no mean, so there is no deterministic encoding or "
            "reconstruction. Use samples: trace(x, samples=S), sample(n)."
        ) from None


def output_layer(network):
    """The distribution layer that a network ends in, or None if it cannot be told."""
    if isinstance(network, DistributionLayer):
        return network
    if isinstance(network, keras.Sequential):
        return output_layer(network.layers[-1]) if network.layers else None
    if hasattr(network, "operations"):  # functional
        return output_layer(network.outputs[0]._keras_history.operation)
    return None


@keras.saving.register_keras_serializable("vaekit")
class LatentVariableModel(keras.Model):
    r"""A model $p(x, z) = \prod_i p(v_i | \mathrm{given}_i)$ with posterior $q(z|x) = \prod_j q(z_j | \mathrm{given}_j)$.

    ```python
    LatentVariableModel(                                   # p(z2) p(z1|z2) p(x|z1),  q(z1|x) q(z2|z1)
        generative=[Factor("z2", prior), Factor("z1", p_z1, given="z2"), Factor("x", p_x, given="z1")],
        inference=[Factor("z1", q_z1, given="x"), Factor("z2", q_z2, given="z1")])
    ```

    Variables of `inference` are latent, the other ones of `generative` are observed; names that are only ever
    given (labels, say) are conditions. Data are an array if one variable is observed and none is a condition,
    otherwise a dict of arrays by name.

    Args:
        generative: factors of p, each after those it depends on.
        inference: factors of q, each after those it depends on.
        seed: integer for all of the model's sampling and shuffling; None: from Keras' own
            (`keras.utils.set_random_seed`).

    Raises:
        ValueError: factorizations that do not fit together.
    """

    def __init__(self, generative, inference, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.generative, self.inference = tuple(generative), tuple(inference)
        self.latents = tuple(f.name for f in self.inference)
        self.observed = tuple(f.name for f in self.generative if f.name not in self.latents)
        given = [name for f in (*self.inference, *self.generative) for name in f.given]
        known = {*self.latents, *self.observed}
        self.conditions = tuple(dict.fromkeys(name for name in given if name not in known))
        self.data_names = (*self.observed, *self.conditions)
        missing = [name for name in self.latents if name not in {f.name for f in self.generative}]
        if missing or not self.latents or not self.observed:
            raise ValueError(
                f"A model needs a latent variable, an observed one, and a generative factor for each; latent: "
                f"{self.latents}, observed: {self.observed}, without a generative factor: {missing}."
            )
        _check_factors("inference", self.inference, known={*self.data_names})
        _check_factors("generative", self.generative, known={*self.conditions})
        # Inference first: a network that a prior contains must be met before the prior (see get_config).
        self.networks = list({id(f.layer): f.layer for f in (*self.inference, *self.generative)}.values())
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.step = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False, name="step")
        self._terms = MappingProxyType({})

    # ---------------------------------------------------------------- building and data

    def build(self, input_shape):
        shapes = input_shape if isinstance(input_shape, dict) else {self.data_names[0]: input_shape}
        specs = {name: keras.KerasTensor((None, *shape[1:]), name=name) for name, shape in shapes.items()}
        for factor in (*self.inference, *self.generative):
            if not factor.given:
                if not factor.layer.built:
                    factor.layer.build(specs[factor.name].shape[1:])
                shape = factor.layer.event_shape
            else:
                spec = factor([specs[name] for name in factor.given])
                shape = tuple(spec.shape[1:])
                specs.setdefault(factor.name, spec)
            expected = tuple(specs[factor.name].shape[1:])
            if shape != expected:
                raise ValueError(
                    f"The generative factor of {factor.name!r} ({factor.layer.name}) describes events of shape "
                    f"{shape}, but {factor.name!r} has shape {expected}. Give its last layer that event shape."
                )
        self.event_shapes = {name: tuple(spec.shape[1:]) for name, spec in specs.items()}

    def _named(self, x):
        """Data as a dict by variable name."""
        if not isinstance(x, dict):
            if len(self.data_names) > 1:
                raise ValueError(f"This model expects a dict with the arrays {self.data_names}; received one array.")
            x = {self.data_names[0]: x}
        if set(x) != set(self.data_names):
            raise ValueError(f"This model expects data named {self.data_names}; received {tuple(x)}.")
        return x

    def observe(self, x):
        """Data as a dict of float32 tensors `[B, ...]` by variable name; arrays are checked, an unbuilt model is built.

        Raises:
            ValueError: missing or unknown names, wrong shapes, no rows, NaN, values outside the support.
        """
        data = {}
        for name, value in self._named(x).items():
            if not ops.is_tensor(value):
                value = self._checked(name, value)
                value = np.asarray(value)
            data[name] = ops.cast(value, "float32")
        if not self.built:
            self.build({name: tuple(value.shape) for name, value in data.items()})
        return data

    def _checked(self, name, array):
        array = array if isinstance(array, DynamicBinarization) else np.asarray(array)
        layer = next((output_layer(f.layer) for f in self.generative if f.name == name), None)
        expected = array.shape[1:] if layer is None else layer.event_shape
        if array.ndim == 0 or array.shape[1:] != tuple(expected):
            raise ValueError(
                f"{name!r} should have shape {['N', *expected]}; received an array of shape {list(array.shape)}. "
                "A single example needs a batch axis, x[None]; grey images need a channel axis, x[..., None]."
            )
        if len(array) == 0:
            raise ValueError(f"{name!r} is empty: received an array of shape {list(array.shape)}.")
        if isinstance(array, DynamicBinarization):
            return array
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{name!r} should hold numbers; received an array of dtype {array.dtype}.")
        if not np.isfinite(array).all():
            bad = int((~np.isfinite(array)).sum())
            raise ValueError(f"{name!r} holds {bad} values that are NaN or infinite: repair or leave out their rows.")
        if layer is not None:
            layer.check_values(array)
        return array

    def _batches(self, x, batch_size=None, shuffle=False):
        """Arrays as seeded `Batches`; what iterates by itself (tf.data, PyDataset, generator) as it is."""
        x = x[0] if isinstance(x, tuple) and len(x) == 1 else x
        if not isinstance(x, (dict, list, np.ndarray, np.generic, DynamicBinarization)) and not ops.is_tensor(x):
            return x
        arrays = {
            name: self._checked(name, ops.convert_to_numpy(value) if ops.is_tensor(value) else value)
            for name, value in self._named(x).items()
        }
        if self.compiled:  # what does not fit together fails here, before Keras takes the model's variables apart
            few = self.observe({name: np.asarray(array[:2]) for name, array in arrays.items()})
            backend.dry_run(lambda: self.objective(self, few, self.step, training=False))
        seed = [int(n) for n in ops.convert_to_numpy(self.seed_generator.next())]
        return Batches(arrays if isinstance(x, dict) else arrays[self.data_names[0]], batch_size or 100, shuffle, seed)

    # ---------------------------------------------------------------- densities

    def trace(self, x, samples=1, training=False, repeat=False, detach=False, seed=None):
        r"""Draws $z_1, …, z_S \sim q(z|x)$ through the inference factors and evaluates every factor there.

        Networks that depend on the data alone run once for each example, not once for each sample.

        Args:
            x: data `[B, ...]`.
            samples: S.
            training: training mode of layers such as dropout.
            repeat: give every distribution the batch `[S·B]`, by repeating the data instead.
            detach: cut the path from the samples back to q, so that gradients take z as a constant.
            seed: an int or a `keras.random.SeedGenerator`; None: the model's own.

        Returns: `Trace`.
        """
        data = self.observe(x)
        if repeat:
            data_s = {name: fold(tile(v, samples)) for name, v in data.items()}
            t = self.trace(data_s, 1, training, detach=detach, seed=seed)
            rows = {name: ops.reshape(v, (samples, -1, *v.shape[2:])) for name, v in t.values.items() if name in t.q}
            log_q, log_p = ({n: ops.reshape(v, (samples, -1)) for n, v in d.items()} for d in (t.log_q, t.log_p))
            return Trace(samples, {**data, **rows}, t.q, t.p, log_q, log_p)

        source = self._seed_source(seed)
        drawn = ops.stop_gradient if detach else lambda z: z
        values, q, p, log_q, log_p = dict(data), {}, {}, {}, {}
        for factor in self.inference:
            q[factor.name], sampled = self._condition(factor, values, samples, training)
            key = backend.seed(source)
            if sampled:  # batch [S·B]
                z = drawn(q[factor.name].sample(seed=key))
                values[factor.name] = unfold(z, samples)
                log_q[factor.name] = unfold(q[factor.name].log_prob(z), samples)
            else:  # batch [B]
                values[factor.name] = z = drawn(q[factor.name].sample(samples, seed=key))  # [S, B, ...]
                log_q[factor.name] = q[factor.name].log_prob(z)  # [S, B]
        for factor in self.generative:
            p[factor.name], sampled = self._condition(factor, values, samples, training)
            value = values[factor.name]
            if sampled:
                value = fold(value if factor.name in self.latents else tile(value, samples))
                log_p[factor.name] = unfold(p[factor.name].log_prob(value), samples)
            else:
                value = p[factor.name].log_prob(value)
                log_p[factor.name] = value if factor.name in self.latents else tile(value, samples)
        return Trace(samples, values, q, p, log_q, log_p)

    def _condition(self, factor, values, samples, training):
        """A factor's distribution at the values, and whether its batch is `[S·B]` rather than `[B]` or `[]`."""
        sampled = any(name in self.latents for name in factor.given)
        inputs = [values[name] for name in factor.given]
        if sampled:
            inputs = [
                fold(value if name in self.latents else tile(value, samples))
                for name, value in zip(factor.given, inputs, strict=True)
            ]
        return factor(inputs, training), sampled

    def _require_built(self):
        if not self.built:
            raise ValueError(
                "This model does not know the shape of its data yet. Train it, call it on some data, or say "
                "model.build((None, 28, 28, 1)) with the data's shape."
            )

    def _seed_source(self, seed):
        if seed is None:
            return self.seed_generator
        return seed if isinstance(seed, keras.random.SeedGenerator) else keras.random.SeedGenerator(seed)

    def log_weights(self, x, samples=1, seed=None):
        r"""$\log p(x, z_s) - \log q(z_s|x)$ at samples of the posterior: array `[S, B]`, in nats."""
        return ops.convert_to_numpy(self.trace(x, samples, seed=seed).log_weights())

    def log_p(self, values, training=False):
        """log p(x, z) `[N]`, in nats, at given values of all variables: dict of tensors `[N, ...]` by name."""
        return self._log_density(self.generative, values, training)

    def log_q(self, values, training=False):
        """log q(z|x) `[N]`, in nats, at given values of all variables: dict of tensors `[N, ...]` by name."""
        return self._log_density(self.inference, values, training)

    def _log_density(self, factors, values, training):
        return sum(f([values[name] for name in f.given], training).log_prob(values[f.name]) for f in factors)

    # ---------------------------------------------------------------- encoding, decoding, sampling

    def posterior(self, x):
        """The posterior q(z|x) as a `tfd.Distribution` with batch shape `[B]`.

        With several latents: a dict of them by name, each given the means of those before it.
        """
        distributions = self._posteriors(self.observe(x))
        return distributions if len(self.latents) > 1 else distributions[self.latents[0]]

    def _posteriors(self, values):
        values, distributions = dict(values), {}
        for factor in self.inference:
            distributions[factor.name] = factor([values[name] for name in factor.given])
            if len(self.latents) > 1:
                values[factor.name] = location(distributions[factor.name])
        return distributions

    def encode(self, x, batch_size=500):
        """Posterior means, as a NumPy array `[N, ...]`; with several latents a dict of them."""
        data = self.observe(x)
        rows = range(0, len(next(iter(data.values()))), batch_size)
        parts = [self._posteriors({k: v[i : i + batch_size] for k, v in data.items()}) for i in rows]
        means = {
            name: np.concatenate([ops.convert_to_numpy(location(part[name])) for part in parts])
            for name in self.latents
        }
        return means if len(self.latents) > 1 else means[self.latents[0]]

    def likelihood(self, z):
        """The distribution p(x|z) of the data, for latents `[N, ...]` (a dict of them and of conditions, if several).

        With several observed variables: a dict of distributions by name.
        """
        self._require_built()
        names = (*self.latents, *self.conditions)
        z = z if isinstance(z, dict) else {self.latents[0]: z}
        if set(z) != set(names):
            raise ValueError(f"likelihood and decode expect a dict with {names}; received {tuple(z)}.")
        z = {name: ops.cast(value, "float32") for name, value in z.items()}
        p = {f.name: f([z[n] for n in f.given]) for f in self.generative if f.name in self.observed}
        return p if len(self.observed) > 1 else p[self.observed[0]]

    def decode(self, z):
        """Mean of p(x|z) as a NumPy array `[N, ...]`, for latents `[N, ...]`."""
        p = self.likelihood(z)
        if isinstance(p, dict):
            return {name: ops.convert_to_numpy(location(d)) for name, d in p.items()}
        return ops.convert_to_numpy(location(p))

    def draw(self, n, conditions=None, seed=None):
        """All variables, drawn from p in the order of the generative factors: dict of tensors `[n, ...]` by name."""
        self._require_built()
        source = self._seed_source(seed)
        values = {name: ops.cast(value, "float32") for name, value in (conditions or {}).items()}
        if set(values) != set(self.conditions):
            raise ValueError(f"This model draws given {self.conditions}; received conditions {tuple(values)}.")
        for factor in self.generative:
            distribution = factor([values[name] for name in factor.given])
            key = backend.seed(source)
            sample = distribution.sample(seed=key) if factor.given else distribution.sample(n, seed=key)
            values[factor.name] = ops.cast(sample, "float32")
        return values

    def sample(self, n, conditions=None, mean=False, seed=None):
        """New data drawn from the model, NumPy array `[n, ...]`.

        Args:
            n: how many.
            conditions: dict of arrays `[n, ...]`, for a model that has conditions.
            mean: return the mean of p(x|z) for the drawn z, the usual picture, instead of a draw from p(x|z).
            seed: an int, for the same draws again; None: the model's own generator.
        """
        values = self.draw(n, conditions, seed)
        if mean:
            return self.decode({name: values[name] for name in (*self.latents, *self.conditions)})
        x = {name: ops.convert_to_numpy(values[name]) for name in self.observed}
        return x if len(self.observed) > 1 else x[self.observed[0]]

    def call(self, inputs):
        """Reconstruction: the mean of p(x|z) at the mean of q(z|x)."""
        data = self.observe(inputs)
        z = {name: location(q) for name, q in self._posteriors(data).items()}
        p = self.likelihood({**z, **{name: data[name] for name in self.conditions}})
        return {name: location(d) for name, d in p.items()} if isinstance(p, dict) else location(p)

    def reconstruct(self, x, batch_size=500):
        """The mean of p(x|z) at the mean of q(z|x), NumPy array `[N, ...]`."""
        return self.predict(x, batch_size=batch_size, verbose=0)

    # ---------------------------------------------------------------- training

    def compile(self, optimizer="adam", objective=None, **kwargs):
        """Chooses optimizer and objective; the count of training steps, which schedules follow, starts anew.

        Args:
            optimizer: Keras optimizer or its name.
            objective: from `vaekit.objectives`; None: `ELBO()`.
            **kwargs: as for `keras.Model.compile`, without losses.
        """
        if kwargs.get("loss") is not None or (objective is not None and not isinstance(objective, Objective)):
            wrong = kwargs.get("loss") if objective is None else objective
            raise ValueError(
                f"A latent variable model is trained by an objective, such as vaekit.objectives.ELBO(); got {wrong!r}."
            )
        kwargs.setdefault("jit_compile", backend.prefers_jit())
        super().compile(optimizer=optimizer, **kwargs)
        self.objective = objective or ELBO()
        # a proxy, since Keras tracks the metrics in a plain dict as state, which a built model must not gain
        self._terms = MappingProxyType({name: keras.metrics.Mean(name) for name in self.objective.terms(self)})
        self.step.assign(0)

    @property
    def metrics(self):
        return [*super().metrics, *self._terms.values()]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss, terms = self.objective(self, x, self.step, training)  # [B]
        for name, value in terms.items():
            self._terms[name].update_state(value)
        if training:
            self.step.assign(self.step + 1)
        loss = ops.mean(loss if sample_weight is None else loss * sample_weight)
        return loss + sum(self.losses)  # weight priors

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_data=None,
        shuffle=True,
        **kwargs,
    ):
        """As `keras.Model.fit`, without targets.

        Arrays, dynamically binarized data and dicts of them are checked, then shuffled by the model's own seed;
        `tf.data`, `PyDataset` and other iterables are taken as they are. `history` has every term in nats.

        Args:
            x: data `[N, ...]`, a dict of arrays by variable name, or an iterable of batches.
            batch_size: examples a step, 100 if None.
            validation_data: like `x`.
        """
        if y is not None:
            raise ValueError("A latent variable model has no targets: call fit(x) with the data alone.")
        if validation_data is not None:
            validation_data = self._batches(validation_data, kwargs.pop("validation_batch_size", None) or batch_size)
        batches = self._batches(x, batch_size, shuffle)
        # shuffle=False: `Batches` have an order of their own, other iterables keep theirs
        options = dict(epochs=epochs, verbose=verbose, callbacks=callbacks, shuffle=False, **kwargs)
        return super().fit(batches, validation_data=validation_data, **options)

    def evaluate(self, x=None, y=None, batch_size=None, verbose="auto", seed=None, return_dict=True, **kwargs):
        """The objective's terms on data: dict of means in nats (`return_dict=False`: a list, as in Keras).

        Args:
            seed: an int, for the same samples of z at each call.
        """
        state = ops.convert_to_numpy(self.seed_generator.state.value).copy()
        if seed is not None:
            self.seed_generator.state.assign(ops.cast([seed, 0], self.seed_generator.state.dtype))
        try:
            batches = self._batches(x, batch_size)
            return super().evaluate(batches, verbose=verbose, return_dict=return_dict, **kwargs)
        finally:
            if seed is not None:
                self.seed_generator.state.assign(state)

    def predict(self, x, batch_size=None, verbose="auto", **kwargs):
        """Reconstructions of data, NumPy array `[N, ...]`: see `call`."""
        return super().predict(self._batches(x, batch_size), verbose=verbose, **kwargs)

    # ---------------------------------------------------------------- saving

    def get_config(self):
        # Keras keeps a shared layer shared within one get_config, if it meets the layer itself before another
        # object that contains it: so all layers stand in one flat list, inference first.
        def rows(factors):
            return [[f.name, [f.layer is layer for layer in self.networks].index(True), f.given] for f in factors]

        return {
            "name": self.name,
            "seed": self.seed_generator.get_config()["seed"],
            "layers": [keras.saving.serialize_keras_object(layer) for layer in self.networks],
            "inference": rows(self.inference),
            "generative": rows(self.generative),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        layers = [keras.saving.deserialize_keras_object(layer, custom_objects) for layer in config["layers"]]

        def factors(rows):
            return [Factor(name, layers[i], tuple(given)) for name, i, given in rows]

        return cls._assemble(factors(config["generative"]), factors(config["inference"]), config)

    @classmethod
    def _assemble(cls, generative, inference, config):
        return cls(generative, inference, seed=config["seed"], name=config["name"])

    def get_compile_config(self):
        if not self.compiled:
            return {}
        kept = {k: v for k, v in super().get_compile_config().items() if k not in ("loss", "loss_weights")}
        return {**kept, "objective": keras.saving.serialize_keras_object(self.objective)}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)


def _check_factors(kind, factors, known):
    for factor in factors:
        unknown = [name for name in factor.given if name not in known]
        if unknown:
            raise ValueError(
                f"The {kind} factor of {factor.name!r} is given {unknown}, which no earlier factor provides; "
                f"at that place there are {sorted(known)}."
            )
        if factor.name in known:
            raise ValueError(f"Two {kind} factors have the name {factor.name!r}, or it names data.")
        known.add(factor.name)


@keras.saving.register_keras_serializable("vaekit")
class VAE(LatentVariableModel):
    r"""Variational autoencoder: $p(z)\,p(x|z)$ with posterior $q(z|x)$, one latent variable.

    ```python
    encoder = keras.Sequential([vk.layers.MLP(500), vk.layers.DiagonalNormal(20)])
    decoder = keras.Sequential([vk.layers.MLP(500), vk.layers.Bernoulli((28, 28, 1))])
    vae = vk.VAE(encoder, decoder)
    ```

    Args:
        encoder: network from x to the distribution q(z|x).
        decoder: network from z to the distribution p(x|z).
        prior: from `vaekit.priors`; None: the standard normal.
        seed: as for `LatentVariableModel`.

    Source: Kingma & Welling 2014.
    """

    def __init__(self, encoder, decoder, prior=None, seed=None, **kwargs):
        prior = StandardNormal() if prior is None else prior
        super().__init__(
            generative=[Factor("z", prior), Factor("x", decoder, given="z")],
            inference=[Factor("z", encoder, given="x")],
            seed=seed,
            **kwargs,
        )

    @property
    def encoder(self):
        return self.inference[0].layer

    @property
    def prior(self):
        return self.generative[0].layer

    @property
    def decoder(self):
        return self.generative[1].layer


    @classmethod
    def _assemble(cls, generative, inference, config):
        prior, decoder = (factor.layer for factor in generative)
        return cls(inference[0].layer, decoder, prior, seed=config["seed"], name=config["name"])
