"""What a pair of factorizations can compute: log-densities at samples of q, encodings, reconstructions, new data."""

import contextlib
from numbers import Real

import keras
import numpy as np
from keras import ops

from vaekit import backend
from vaekit.backend import tfd
from vaekit.batches import check_counts
from vaekit.layers.distribution import event_shape
from vaekit.models.data import arrays, check_conditions, named, observe, supports, tensors
from vaekit.models.factors import (
    Factor,
    NoMeanError,
    Trace,
    check_order,
    check_shapes,
    check_shared,
    counting,
    current,
    fold,
    frozen,
    moved,
    no_losses,
    split,
    tile,
    unfold,
)
from vaekit.models.programs import Programs
from vaekit.objectives.state import read_state
from vaekit.training.finite import require_finite, require_numbers


def _log_prob(distribution, value, samples, sampled):
    """Log-densities `[S, B]` of values `[S, B, ...]` under a distribution of batch `[S·B]`, or of `[B]` or `[]`."""
    return unfold(distribution.log_prob(fold(value)), samples) if sampled else distribution.log_prob(value)


class Factorizations(keras.Model):
    r"""The pair p(x, z) and q(z|x), its densities and samples; `LatentVariableModel` adds training and saving."""

    def __init__(self, generative, inference, refinement=None, seed=None, **kwargs):
        super().__init__(**kwargs)
        if refinement is not None and not callable(refinement):
            raise ValueError(
                f"A refinement is a vaekit.inference.Refinement(steps=20) or None; received {refinement!r}."
            )
        for name, factors in {"generative": generative, "inference": inference}.items():
            if not isinstance(factors, (list, tuple)) or not all(isinstance(f, Factor) for f in factors):
                raise ValueError(f"{name} should be a list of vaekit.Factor(...); received {factors!r}.")
        self.refinement, self.objective = refinement, None
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
        if weighted := [f.name for f in self.inference if f.weight != 1]:
            raise ValueError(
                f"A weight belongs to a generative factor, a latent's prior for its KL; in q one has {weighted}."
            )
        check_order("inference", self.inference, known={*self.data_names})
        check_order("generative", self.generative, known={*self.conditions})
        check_shared(self.generative, self.inference)
        # Inference first: a network that a prior contains must be met before the prior (see get_config).
        self.networks = list({id(f.layer): f.layer for f in (*self.inference, *self.generative)}.values())
        self.seed_generator = backend.seed_generator(seed)
        self._within_keras_loop, self._follows, self.diverged, self.programs = False, True, False, Programs()

    # ---------------------------------------------------------------- building and data

    def build(self, input_shape):
        shapes = named(self, input_shape)
        specs = {name: keras.KerasTensor((None, *shape[1:]), name=name) for name, shape in shapes.items()}
        for factor in (*self.inference, *self.generative):
            if not factor.given:
                if not factor.layer.built:
                    factor.layer.build(specs[factor.name].shape[1:])
                shape = factor.layer.event_shape
            else:
                shape = event_shape(factor, [specs[name] for name in factor.given])
                specs.setdefault(factor.name, keras.KerasTensor((None, *shape), name=factor.name))
            expected = tuple(specs[factor.name].shape[1:])
            if shape != expected:
                raise ValueError(
                    f"The generative factor of {factor.name!r} ({factor.layer.name}) describes events of shape "
                    f"{shape}, but {factor.name!r} has shape {expected}. Give its last layer that event shape."
                )
        self.event_shapes = {name: tuple(spec.shape[1:]) for name, spec in specs.items()}
        parts = {f: split(f, self.latents, self.event_shapes) for f in (*self.inference, *self.generative)}
        self._split = parts.__getitem__  # functions, which Keras does not track
        self._support = supports(self).get

    def arrays(self, x):
        """Data as a dict of checked arrays by variable name: see `vaekit.models.data.arrays`."""
        return arrays(self, x)

    def observe(self, x):
        """Data as a dict of float32 tensors by variable name: see `vaekit.models.data.observe`."""
        return observe(self, x)

    # ---------------------------------------------------------------- densities

    def trace(
        self,
        x,
        samples=1,
        training=False,
        repeat=False,
        detach=False,
        frozen_sides=(),
        offsets=None,
        early=None,
        seed=None,
    ):
        r"""Draws $z_1, …, z_S \sim q(z|x)$ through the inference factors and evaluates every factor there.

        What depends on the data alone runs once for each example, not once for each sample: whole networks, and
        branches of functional ones.

        Args:
            x: data `[B, ...]`.
            samples: S.
            training: training mode of layers such as dropout.
            repeat: give every distribution the batch `[S·B]`, by repeating the data instead.
            detach: cut the path from the samples back to q, so that gradients take z as a constant.
            frozen_sides: `"p"`, `"q"` or both: log-densities whose gradients take that side's weights as constants
                (the samples' path stays).
            offsets: dict by latent of dicts of tensors `[B, ...]`, added to the posterior's parameters; None: those
                of the model's refinement, if it has one.
            early: what `early` gave for these data, for further samples of them; not with `repeat` or `frozen_sides`.
            seed: an int, a `keras.random.SeedGenerator`, or a seed of `vaekit.backend`; None: the model's own.

        Returns: `Trace`.
        """
        data, key = self.observe(x), self._seed_source(seed)
        if self.refinement:
            inner, key = backend.seeds(key, 2)
            offsets = self.offsets(data, inner, training) if offsets is None else offsets
        options = dict(training=training, detach=detach, frozen_sides=frozen_sides)
        if repeat:
            data_s = {name: fold(tile(v, samples)) for name, v in data.items()}
            offsets_s = keras.tree.map_structure(lambda v: fold(tile(v, samples)), offsets) if offsets else None
            t = self._trace(data_s, 1, offsets=offsets_s, key=key, **options)
            rows = {name: ops.reshape(v, (samples, -1, *v.shape[2:])) for name, v in t.values.items() if name in t.q}
            log_q, log_p = ({n: ops.reshape(v, (samples, -1)) for n, v in d.items()} for d in (t.log_q, t.log_p))
            return Trace(samples, {**data, **rows}, t.q, t.p, log_q, log_p, t.weights)
        return self._trace(data, samples, offsets=offsets, early=early, key=key, **options)

    def early(self, data, training=False, factors=None):
        """What the factors make of the data alone, for several traces or densities of the same data.

        Args:
            data: dict of tensors `[B, ...]` by variable name.
            factors: of them; None: all.

        Returns: dict by factor of its distribution, or, where it is given latents, of a list of tensors `[B, ...]`.
        """
        factors = (*self.inference, *self.generative) if factors is None else factors
        return {factor: self._split(factor)[0](data, training) for factor in factors}

    def offsets(self, data, seed=None, training=False):
        """What the model's refinement adds to the posterior's parameters; None for a model that has none.

        Args:
            data: dict of tensors `[B, ...]` by variable name.
            seed: as for `trace`, for the noise at which the parameters are refined.

        Returns: dict by latent of dicts of tensors `[B, ...]`.
        """
        if self.refinement is None:
            return None
        with no_losses():
            return self.refinement(self, data, backend.seed(self._seed_source(seed)), training)

    def _trace(self, data, samples, training, detach, frozen_sides, offsets, key, early=None):
        drawn = ops.stop_gradient if detach else lambda z: z
        values, q, p, log_q, log_p = dict(data), {}, {}, {}, {}
        for factor, seed in zip(self.inference, backend.seeds(key, len(self.inference)), strict=True):
            name, before = factor.name, current(factor.layer) if "q" in frozen_sides else None
            with counting(factor):
                q[name], sampled = self._condition(factor, values, samples, training, offsets, early)
            if sampled:  # batch [S·B]
                z = unfold(drawn(q[name].sample(seed=seed)), samples)
            else:  # batch [B]
                z = drawn(q[name].sample(samples, seed=seed))  # [S, B, ...]
            if "q" in frozen_sides:
                with frozen(factor.layer, before):
                    constant = keras.tree.map_structure(ops.stop_gradient, offsets) if offsets else None
                    again, _ = self._condition(factor, values, samples, training, constant)
                    log_q[name] = _log_prob(again, z, samples, sampled)
            else:
                log_q[name] = _log_prob(q[name], z, samples, sampled)
            values[name] = z
        for factor in self.generative:
            constant = frozen(factor.layer) if "p" in frozen_sides else contextlib.nullcontext()
            with constant, counting(factor, shared=[f.layer for f in self.inference if not factor.given]):
                name, value = factor.name, values[factor.name]
                p[name], sampled = self._condition(factor, values, samples, training, early=early)
                if name in self.latents:  # a prior, too, sees [S·B, ...], as networks do
                    log_p[name] = _log_prob(p[name], value, samples, sampled or not factor.given)
                elif sampled:
                    log_p[name] = _log_prob(p[name], tile(value, samples), samples, sampled)
                else:
                    log_p[name] = tile(p[name].log_prob(value), samples)
        weights = {factor.name: factor.weight for factor in self.generative if factor.weight != 1}
        return Trace(samples, values, q, p, log_q, log_p, weights)

    def _condition(self, factor, values, samples, training, offsets=None, early=None):
        """A factor's distribution at the values, and whether its batch is `[S·B]` rather than `[B]` or `[]`."""
        sampled = any(name in self.latents for name in factor.given)
        h, g = self._split(factor)
        distribution = h(values, training) if early is None else early[factor]
        if sampled:
            parts = [fold(tile(part, samples)) for part in distribution]
            distribution = g([*parts, *(fold(values[n]) for n in factor.given if n in self.latents)], training)
        if offsets:
            repeated = {n: fold(tile(v, samples)) if sampled else v for n, v in offsets[factor.name].items()}
            distribution = moved(distribution, repeated)
        check_shapes(factor, distribution, self.event_shapes[factor.name])
        return distribution, sampled

    def program(self, key, make):
        """What `make()` gives, such as a compiled program of this model, made once for a `key` and kept with the model.

        It is made anew when a number of the objective or of the refinement has changed.
        """
        return self.programs.get(key, self.settings(), make)

    def settings(self):
        """What a program of this model takes for constant, beside its networks: numbers of the objective, say."""
        return read_state((self.objective, self.refinement))[0] if self._follows else ""

    def _require_built(self):
        if not self.built:
            raise ValueError(
                "This model does not know the shape of its data yet. Train it, call it on some data, or say "
                "model.build((None, 28, 28, 1)) with the data's shape."
            )

    def _seed_source(self, seed):
        if seed is None:
            return self.seed_generator
        return backend.seed_generator(seed) if isinstance(seed, Real) else seed

    def log_weights(self, x, samples=1, seed=None):
        r"""$\log p(x, z_s) - \log q(z_s|x)$ at samples of the posterior: array `[S, B]`, in nats.

        All at once; `vaekit.evaluation.log_likelihood` works through many samples in bounded memory.
        """
        require_finite(self, "log_weights")
        return ops.convert_to_numpy(self.trace(x, samples, seed=seed).log_weights())

    def log_p(self, values, training=False, early=None):
        """log p(x, z) `[N]`, in nats, at given values of all variables: dict of tensors `[N, ...]` by name.

        `early` is what `early` gave for these data.
        """
        generative = self._distributions(self.generative, values, training, early=early)
        return sum(p.log_prob(values[name]) for name, p in generative)

    def log_q(self, values, training=False, seed=None):
        """log q(z|x) `[N]`, in nats, at given values of all variables: dict of tensors `[N, ...]` by name.

        `seed` is that of the noise of a refinement, if the model has one.
        """
        offsets = self.offsets({name: values[name] for name in self.data_names}, seed, training)
        inference = self._distributions(self.inference, values, training, offsets)
        return sum(q.log_prob(values[name]) for name, q in inference)

    def _distributions(self, factors, values, training=False, offsets=None, early=None):
        """Pairs of a factor's name and its distribution at the values `[N, ...]`, one after the other."""
        for factor in factors:
            if early is None:
                distribution = factor([values[name] for name in factor.given], training)
            else:
                distribution, g = early[factor], self._split(factor)[1]
                if g is not None:
                    distribution = g([*distribution, *(values[n] for n in factor.given if n in self.latents)], training)
            check_shapes(factor, distribution, self.event_shapes[factor.name])
            yield factor.name, moved(distribution, offsets[factor.name]) if offsets else distribution

    # ---------------------------------------------------------------- encoding, decoding, sampling

    def posterior(self, x, *, mean=True, seed=None):
        """The posterior q(z|x) as a `tfd.Distribution` with batch shape `[B]`.

        With several latents: a dict of them by name, each given the means of those before it, or draws of them if not
        `mean`. `seed` is that of draws, and of the noise of a refinement, if the model has one.
        """
        require_finite(self, "posterior")
        distributions, _ = self._encode(self.observe(x), seed, mean or len(self.latents) == 1)
        return distributions if len(self.latents) > 1 else distributions[self.latents[0]]

    def _encode(self, data, seed=None, mean=True):
        """Posteriors by latent, and their means, or draws: dicts of distributions and of tensors `[B, ...]`."""
        source, values, distributions = self._seed_source(seed), dict(data), {}
        offsets = self.offsets(data, source)
        for name, q in self._distributions(self.inference, values, offsets=offsets):
            distributions[name] = q
            if len(self.latents) > 1 or not mean:
                values[name] = self._value(name, q, mean, source)
        return distributions, values

    def _latent_values(self, data, source, mean):
        """Means of the latents' posteriors, or draws: dict of tensors `[B, ...]`."""
        q, values = self._encode(data, source, mean)
        return {
            name: values[name] if name in values else self._value(name, q[name], mean, source) for name in self.latents
        }

    def _value(self, name, distribution, mean, source):
        """A distribution's mean, or a draw from it."""
        if not mean:
            return ops.cast(distribution.sample(seed=backend.seed(source)), "float32")
        try:
            return distribution.mean()
        except NotImplementedError:
            raise NoMeanError(
                f"The distribution of {name!r} ({distribution.name}) has no mean in closed form. Ask for a draw from "
                "it: encode, decode and reconstruct take mean=False and a seed, and sample draws by itself."
            ) from None

    def encode(self, x, batch_size=500, *, mean=True, seed=None):
        r"""Means of the posterior, NumPy array `[N, ...]`; several latents: a dict of them, each given those before.

        Args:
            x: data `[N, ...]`.
            batch_size: examples at a time.
            mean: False for draws $z \sim q(z|x)$ instead.
            seed: an int, for the same draws, and noise of a refinement, again; None: the model's own generator.

        Raises:
            ValueError: unusable data; a posterior that has no mean in closed form, with `mean`.
        """
        source = self._seed_source(seed)
        parts = [self._latent_values(batch, source, mean) for batch in self._in_batches("encode", x, batch_size)]
        return self._output("encode", self.latents, parts)

    def _in_batches(self, what, x, batch_size):
        """Checked data as dicts of tensors `[B, ...]` by variable name, some rows at a time."""
        check_counts(what, batch_size=batch_size)
        data = {name: np.asarray(array) for name, array in self.arrays(x).items()}
        for i in range(0, len(next(iter(data.values()))), batch_size):
            yield tensors(self, {name: array[i : i + batch_size] for name, array in data.items()})

    def _output(self, what, names, parts):
        """Values as NumPy arrays `[N, ...]`, from those of all batches: of one variable alone, of several a dict."""
        require_finite(self, what)
        arrays = {name: np.concatenate([ops.convert_to_numpy(part[name]) for part in parts]) for name in names}
        require_numbers(self, what, *arrays.values())
        return arrays if len(names) > 1 else arrays[names[0]]

    def likelihood(self, z, *, mean=True, seed=None):
        """The distribution p(x|z) of the data, for latents `[N, ...]` (a dict of them and of conditions, if several).

        With several observed variables: a dict of distributions by name, each given the means of those before it, or,
        if not `mean`, draws of them by `seed`.
        """
        p, _ = self._decode(self._latents(z), self._seed_source(seed), mean, values_of=self._parents())
        return p if len(self.observed) > 1 else p[self.observed[0]]

    def _latents(self, z):
        """Latents, and the conditions that p has, as a dict of tensors `[N, ...]` by name."""
        self._require_built()
        names = (*self.latents, *self.generative_conditions)
        z = z if isinstance(z, dict) else {self.latents[0]: z}
        if not set(names) <= set(z) <= {*names, *self.conditions}:
            raise ValueError(f"likelihood and decode expect a dict with {names}; received {tuple(z)}.")
        values = {name: ops.cast(value, "float32") for name, value in z.items()}
        for name, value in values.items():
            if tuple(value.shape[1:]) != self.event_shapes[name]:
                expected = ["N", *self.event_shapes[name]]
                raise ValueError(f"{name!r} should have shape {expected}; received {list(value.shape)}.")
        return values

    def _parents(self):
        """The variables that others of p are given."""
        return {name for factor in self.generative for name in factor.given}

    def _decode(self, values, source, mean, values_of=None):
        """Distributions of the observed variables, and their means, or draws: two dicts by name.

        Args:
            values: dict of latents, conditions, and perhaps of observed variables that others depend on.
            values_of: observed variables whose mean or draw is wanted; None: all.
        """
        p, x, values = {}, {}, dict(values)
        n = ops.shape(values[self.latents[0]])[0]
        for factor in self.generative:
            name = factor.name
            if name in self.observed:
                p[name] = factor([values[parent] for parent in factor.given])
                if not factor.given:  # a prior
                    p[name] = tfd.BatchBroadcast(p[name], with_shape=[n])
                if name in values:
                    x[name] = values[name]
                elif values_of is None or name in values_of:
                    x[name] = values[name] = self._value(name, p[name], mean, source)
        return p, x

    def decode(self, z, *, mean=True, seed=None):
        r"""Mean of p(x|z), NumPy array `[N, ...]`, for latents `[N, ...]`; several observed variables: a dict of them.

        Args:
            z: latents `[N, ...]`, a dict of them and of conditions if several.
            mean: False for draws $x \sim p(x|z)$ instead.
            seed: an int, for the same draws again; None: the model's own generator.

        Raises:
            ValueError: latents of another shape; a likelihood that has no mean in closed form (PixelCNN), with `mean`.
        """
        _, x = self._decode(self._latents(z), self._seed_source(seed), mean)
        return self._output("decode", self.observed, [x])

    def draw(self, n, conditions=None, observed=True, seed=None):
        """All variables, drawn from p in the order of the generative factors: dict of tensors `[n, ...]` by name.

        Args:
            n: how many.
            conditions: dict of arrays `[n, ...]`, for a model whose p has conditions.
            observed: False leaves out the observed variables (which no latent may depend on then), names all but those.
            seed: an int or a `keras.random.SeedGenerator`; None: the model's own.

        Raises:
            ValueError: missing conditions, or another number of them than n; an unbuilt model.
        """
        self._require_built()
        if not ops.is_tensor(n):
            check_counts("draw", n=n)
        source = self._seed_source(seed)
        values = {name: ops.cast(value, "float32") for name, value in (conditions or {}).items()}
        if not set(self.generative_conditions) <= set(values) <= set(self.conditions):
            needed = self.generative_conditions
            raise ValueError(f"This model draws given {needed}; received conditions {tuple(values)}.")
        for name, value in values.items():
            if backend.is_concrete(value) and value.shape[0] != n:
                raise ValueError(f"{n} draws need {n} rows of the condition {name!r}; received {value.shape[0]}.")
        for factor in self.generative:
            wanted = observed if isinstance(observed, bool) else factor.name in observed
            if factor.name in self.observed and not wanted:
                continue
            distribution = factor([values[name] for name in factor.given])
            key = backend.seed(source)
            sample = distribution.sample(seed=key) if factor.given else distribution.sample(n, seed=key)
            values[factor.name] = ops.cast(sample, "float32")
        return values

    @property
    def generative_conditions(self):
        """The conditions that p has; others are given to q alone."""
        return tuple(name for name in self.conditions if name in self._parents())

    def sample(self, n, conditions=None, mean=False, seed=None):
        """New data drawn from the model, NumPy array `[n, ...]`; several observed variables: a dict of them.

        Args:
            n: how many.
            conditions: dict of arrays `[n, ...]`, for a model whose p has conditions.
            mean: return the mean of p(x|z) for the drawn z, the usual picture, instead of a draw from p(x|z). (An
                observed variable that others depend on is drawn.)
            seed: an int, for the same draws again; None: the model's own generator.

        Raises:
            ValueError: as for `draw`; a likelihood that has no mean in closed form (PixelCNN), with `mean`.
        """
        self._require_built()
        source, conditions = self._seed_source(seed), check_conditions(self, conditions)
        values = self.draw(n, conditions, observed=self._parents() if mean else True, seed=source)
        if mean:
            _, values = self._decode(values, source, True)
        return self._output("sample", self.observed, [values])

    def call(self, inputs):
        """Reconstruction: the mean of p(x|z) at the mean of q(z|x)."""
        symbolic = not backend.is_concrete(keras.tree.flatten(inputs)[0])
        if self._within_keras_loop and (symbolic or self.run_eagerly):
            return inputs  # Keras' steps have no use for it: the objective makes its own passes
        _, x = self._reconstruct(self.observe(inputs), self.seed_generator, True)
        return x if len(self.observed) > 1 else x[self.observed[0]]

    def _reconstruct(self, data, source, mean):
        conditions = {name: data[name] for name in self.conditions}
        return self._decode({**self._latent_values(data, source, mean), **conditions}, source, mean)

    def reconstruct(self, x, batch_size=500, *, mean=True, seed=None):
        r"""The mean of p(x|z) at the mean of q(z|x), NumPy array `[N, ...]`; several observed variables: a dict.

        Args:
            x: data `[N, ...]`.
            batch_size: examples at a time.
            mean: False for draws $z \sim q(z|x)$ and $x' \sim p(x|z)$ instead.
            seed: an int, for the same draws again; None: the model's own generator.

        Raises:
            ValueError: unusable data; a distribution that has no mean in closed form (PixelCNN), with `mean`.
        """
        source = self._seed_source(seed)
        parts = [self._reconstruct(batch, source, mean)[1] for batch in self._in_batches("reconstruct", x, batch_size)]
        return self._output("reconstruct", self.observed, parts)
