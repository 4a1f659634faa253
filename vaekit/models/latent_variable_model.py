"""Latent variable models in Keras: p(x, z) and q(z|x), their densities, encodings, and draws."""

from numbers import Real

import keras
import numpy as np
from keras import ops

from vaekit import backend
from vaekit.batches import check_counts
from vaekit.models import saving
from vaekit.models.arrays import check_conditions, named, row_batches, row_count, tensors
from vaekit.models.data import arrays, as_batches, fixed_arrays, observe
from vaekit.models.export import export
from vaekit.models.factors import Factor, check_factorizations, event_shapes, freeze
from vaekit.models.features import Feature, completed
from vaekit.models.futures import draw_futures
from vaekit.models.generate import decode, decoder_inputs, draw, parents, sampler
from vaekit.models.given import Given
from vaekit.models.means import mean_or_draw
from vaekit.models.over_time import check_sequences, is_sequence, names
from vaekit.models.split import split
from vaekit.models.supports import supports
from vaekit.names import of_past, past, variable
from vaekit.training.finite import require_finite, require_numbers
from vaekit.training.losses import no_losses
from vaekit.training.trainer import Trainer


@keras.saving.register_keras_serializable("vaekit")
class LatentVariableModel(Trainer):
    r"""A model $p(x, z) = \prod_i p(v_i | \mathrm{given}_i)$ with $q(z|x) = \prod_j q(z_j | \mathrm{given}_j)$.

    ```python
    LatentVariableModel(                                   # p(z2) p(z1|z2) p(x|z1),  q(z1|x) q(z2|z1)
        generative=[Factor("z2", prior), Factor("z1", p_z1, given="z2"), Factor("x", p_x, given="z1")],
        inference=[Factor("z1", q_z1, given="x"), Factor("z2", q_z2, given="z1")])
    ```

    Variables of `inference` are latent, the other ones of `generative` are observed; names that are only ever
    given (labels, say) are conditions. Data are an array if one variable is observed and none is a condition,
    otherwise a dict of arrays by name. With `inference=[]` there are no latents, and the bound is log p(x): such is a
    language model, `LatentVariableModel([Factor("x", decoder)], inference=[])`.

    Args:
        generative: factors of p, each after those it depends on.
        inference: factors of q, each after those it depends on; an empty list for a model without latents.
        refinement: a `vaekit.inference.Refinement`, for semi-amortized inference; None: q is that of its networks.
        seed: integer for all of the model's sampling and shuffling; None: from Keras' own
            (`keras.utils.set_random_seed`).
        features: list of `vaekit.Feature`, functions of data that factors may be given.

    Raises:
        ValueError: factorizations that do not fit together.
    """

    arguments = ()  # of a subclass's `__init__`, beside what the configuration names

    def __init__(self, generative, inference, refinement=None, seed=None, features=(), **kwargs):
        super().__init__(**kwargs)
        if refinement is not None and not callable(refinement):
            raise ValueError(
                f"A refinement is a vaekit.inference.Refinement(steps=20) or None; received {refinement!r}."
            )
        check_factorizations(generative, inference, features)
        if refinement is not None and not inference:
            raise ValueError("A refinement moves q(z|x), and this model has no latents: leave it out.")
        self.refinement, self.features = refinement, tuple(features)
        self.generative, self.inference = tuple(generative), tuple(inference)
        self.latents = tuple(f.name for f in self.inference)
        self.observed = tuple(f.name for f in self.generative if f.name not in self.latents)
        given = dict.fromkeys(name for f in (*self.inference, *self.features, *self.generative) for name in f.given)
        self.pasts = tuple(name for name in given if of_past(name))
        computed = names(self.features)
        described = (*self.latents, *self.observed, *computed)
        self.conditions = tuple(dict.fromkeys(n for n in map(variable, given) if n not in described))
        self.sequences = tuple(f.name for f in self.generative if is_sequence(f))
        self.generative_conditions = tuple(name for name in self.conditions if name in parents(self))
        self.data_names = (*self.observed, *self.conditions)
        # Inference first: a network that a prior contains must be met before the prior (see get_config).
        parts = (*self.inference, *self.features, *self.generative)
        self.networks = list({id(part.layer): part.layer for part in parts}.values())
        self.seed_generator = backend.seed_generator(seed)
        check_sequences(self)

    def build(self, input_shape):
        """Builds the networks for data of a shape `[None, ...]`, or of a dict of them by variable name."""
        factors = (*self.inference, *self.generative)
        self.event_shapes = event_shapes(self, {name: shape[1:] for name, shape in named(self, input_shape).items()})
        freeze(self)
        # functions, since Keras would track dicts
        drawn = {*self.latents, *map(past, self.latents)}
        self.split = {f: split(f, drawn, self.event_shapes) for f in factors}.__getitem__  # factor to h and g
        self.sampler = sampler(self)  # of sequences
        self.support = supports(self).get  # observed variable to an object that checks its values, or None

    # ---------------------------------------------------------------- densities

    def given(self, x, training=False, frozen="", sides="pq", seed=None):
        r"""The model given data x: $\log p(x, z)$ and $\log q(z|x)$ as functions of z, and samples of q.

        What depends on x alone, a refinement too, is computed once.

        Args:
            x: data `[B, ...]`.
            training, frozen, sides: as for `vaekit.models.given.Given`.
            seed: as for `trace`, of the noise at which a refinement moves the posterior.

        Returns: `vaekit.models.given.Given`.
        """
        return self._given(self.observe(x), training, frozen, sides, seed)

    def _given(self, data, training=False, frozen="", sides="pq", seed=None):
        offsets = None
        if self.refinement is not None and "q" in sides:
            with no_losses():
                offsets = self.refinement(self, data, backend.seed(self.seed_source(seed)), training)
        return Given(self, data, training, frozen, sides, offsets)

    def trace(self, x, samples=1, training=False, detach=False, frozen="", seed=None):
        r"""Draws $z_1, …, z_S \sim q(z|x)$ through the inference factors and evaluates every factor there.

        Args:
            x: data `[B, ...]`.
            samples: S.
            training: training mode of layers such as dropout.
            detach: cut the path from the samples back to q, so that gradients take z as a constant.
            frozen: `"p"`, `"q"` or `"pq"`: log-densities whose gradients take that side's weights as constants (the
                samples' path stays).
            seed: an int, a `keras.random.SeedGenerator`, or a seed of `vaekit.backend`; None: the model's own.

        Returns: `Trace`.
        """
        noise = draws = self.seed_source(seed)
        if self.refinement is not None:
            noise, draws = backend.seeds(noise, 2)
        return self.given(x, training, frozen, seed=noise).draw(samples, detach, draws)

    def log_weights(self, x, samples=1, seed=None):
        r"""$\log p(x, z_s) - \log q(z_s|x)$ at samples of the posterior: array `[S, B]`, in nats.

        All at once; `vaekit.evaluation.log_likelihood` works through many samples in bounded memory.
        """
        require_finite(self, "log_weights")
        return ops.convert_to_numpy(self.trace(x, samples, seed=seed).log_weights())

    def log_p(self, values, training=False):
        """log p(x, z) `[N]`, in nats, at given values of all variables: dict of tensors `[N, ...]` by name."""
        data, z = self._data_and_latents(values)
        return self._given(data, training, sides="p").log_p(z)[0]

    def log_q(self, values, training=False, seed=None):
        """log q(z|x) `[N]`, in nats, at given values of all variables: dict of tensors `[N, ...]` by name.

        `seed` is that of the noise of a refinement, if the model has one.
        """
        data, z = self._data_and_latents(values)
        return self._given(data, training, sides="q", seed=seed).log_q(z)[0]

    def _data_and_latents(self, values):
        """Splits values `[N, ...]` of all variables: data `[N, ...]`, and one sample of the latents `[1, N, ...]`."""
        z = {name: ops.cast(values[name], "float32")[None] for name in self.latents}
        return {name: values[name] for name in self.data_names}, z

    def seed_source(self, seed):
        """Returns a source of seeds: an int's generator, for None the model's own, any other source unchanged."""
        if seed is None:
            return self.seed_generator
        return backend.SeedSequence(seed) if isinstance(seed, Real) else seed

    def inference_weights(self):
        """Lists the trainable weights of q's networks, those of the features that it is given among them."""
        given = {variable(name) for factor in self.inference for name in factor.given}
        parts = (*self.inference, *(feature for feature in self.features if given & set(feature.names)))
        return [weight for part in parts for weight in part.layer.trainable_weights]

    def constants(self):
        return (*super().constants(), self.refinement)

    # ---------------------------------------------------------------- data

    def arrays(self, x):
        """Checks data: dict of arrays by variable name, see `vaekit.models.data.arrays`."""
        return arrays(self, x)

    def observe(self, x):
        """Converts data to a dict of float32 tensors by variable name, see `vaekit.models.data.observe`."""
        return observe(self, x)

    def batches(self, x, batch_size=None, shuffle=False):
        """Makes checked batches of data, see `vaekit.models.data.as_batches`."""
        return as_batches(self, x, batch_size, shuffle)

    def checked_batch(self, x):
        """Checks one batch: an array, or a dict of them by variable name."""
        checked = fixed_arrays(self, x)
        return checked if isinstance(x, dict) else checked[self.data_names[0]]

    def require_built(self):
        """Raises ValueError if the model is not built."""
        if not self.built:
            raise ValueError(
                "This model does not know the shape of its data yet. Train it, call it on some data, or say "
                "model.build((None, 28, 28, 1)) with the data's shape."
            )

    def require_latents(self, what):
        """Raises ValueError if the model has no latent variables."""
        if not self.latents:
            raise ValueError(
                f"{what} is about latent variables, and this model has none. It has log p(x), by "
                "vaekit.evaluation.log_likelihood, and draws, by sample."
            )

    # ---------------------------------------------------------------- encoding, decoding, sampling

    def posterior(self, x, *, mean=True, seed=None):
        """Returns the posterior q(z|x) as a `tfd.Distribution` with batch shape `[B]`.

        With several latents: a dict of them by name, each given the means of those before it, or draws of them if not
        `mean`. `seed` is that of draws, and of the noise of a refinement, if the model has one.
        """
        self.require_latents("posterior")
        require_finite(self, "posterior")
        source = self.seed_source(seed)
        return self._one_or_all(self.given(x, sides="q", seed=source).encode(mean, source)[0])

    def _one_or_all(self, values):
        """Returns the value in a dict of a single variable; of several variables, the dict."""
        return values if len(values) > 1 else next(iter(values.values()))

    def encode(self, x, batch_size=500, *, mean=True, seed=None):
        r"""Computes means of the posterior, NumPy array `[N, ...]`; several latents: a dict, each given those before.

        Args:
            x: data `[N, ...]`.
            batch_size: examples at a time.
            mean: False for draws $z \sim q(z|x)$ instead.
            seed: an int, for the same draws, and noise of a refinement, again; None: the model's own generator.

        Raises:
            ValueError: unusable data; a posterior that has no mean in closed form, with `mean`.
        """
        self.require_latents("encode")
        source = self.seed_source(seed)
        parts = [self.latent_values(batch, mean, source) for batch in self._in_batches("encode", x, batch_size)]
        return self._output("encode", parts)

    def _in_batches(self, what, x, batch_size):
        """Yields checked data in batches, dicts of tensors `[B, ...]` by variable name."""
        check_counts(what, batch_size=batch_size)
        return (batch for batch, _ in row_batches(fixed_arrays(self, x), batch_size))

    def _output(self, what, parts):
        """Joins values of all batches to NumPy arrays `[N, ...]`: of one variable alone, of several a dict."""
        require_finite(self, what)
        arrays = {name: np.concatenate([ops.convert_to_numpy(part[name]) for part in parts]) for name in parts[0]}
        require_numbers(self, what, *arrays.values())
        return self._one_or_all(arrays)

    def latent_values(self, data, mean, seed):
        """Computes means of the latents' posteriors, or draws: dict of tensors `[B, ...]`, for checked data."""
        q, values = self._given(data, sides="q", seed=seed).encode(mean, seed)
        return {
            name: values[name] if name in values else mean_or_draw(name, q[name], mean, seed) for name in self.latents
        }

    def likelihood(self, z, *, mean=True, seed=None):
        """Returns the distribution p(x|z) of the data, for latents `[N, ...]` (a dict with conditions, if several).

        With several observed variables: a dict of distributions by name, each given the means of those before it, or,
        if not `mean`, draws of them by `seed`.
        """
        p, _ = decode(self, decoder_inputs(self, z), mean, self.seed_source(seed), outputs=parents(self))
        if set(p) != set(self.observed):
            raise ValueError(
                f"The distribution of a step of {self.observed} depends on the steps before, which latents do not say: "
                "use model.trace(x).p, or model.decode(z), in which each step is given what came out before."
            )
        return self._one_or_all(p)

    def decode(self, z, *, mean=True, beams=None, seed=None):
        r"""Computes the mean of p(x|z), NumPy array `[N, ...]`; several observed variables: a dict of them.

        Of a sequence that is given its own past, each step is given the steps that came out before it.

        Args:
            z: latents `[N, ...]`, a dict of them and of conditions if several.
            mean: False for draws $x \sim p(x|z)$ instead.
            beams: of sentences the most probable one is found by beam search, 1: word by word; None: as `mean` says.
            seed: an int, for the same draws again; None: the model's own generator.

        Raises:
            ValueError: latents of another shape; a likelihood that has no mean in closed form (PixelCNN), with `mean`.
        """
        _, x = decode(self, decoder_inputs(self, z), mean, self.seed_source(seed), beams=beams)
        return self._output("decode", [x])

    def interpolate(self, x, y, steps=7, *, beams=None):
        r"""Decodes the straight line from x's code to y's, $(1 - t)\,z_x + t\,z_y$, z being the means of q.

        ```python
        line = vae.interpolate(text.test[:1], text.test[1:2], beams=10)[0]
        text.vocabulary.decode(line)  # 7 sentences
        ```

        Args:
            x, y: data `[N, ...]`, as many of each. Conditions are x's.
            steps: how many, both ends among them.
            beams: as for `decode`.

        Returns: array `[N, steps, ...]`, of means of p(x|z), or of tokens; several observed variables: a dict of them.

        Raises:
            ValueError: unusable data, another number of x than of y, fewer than two steps.
        """
        self.require_latents("interpolate")
        check_counts("interpolate", least=2, steps=steps)
        first, last = (fixed_arrays(self, data) for data in (x, y))
        if row_count(first) != row_count(last):
            raise ValueError(f"interpolate expects as many x as y; received {row_count(first)} and {row_count(last)}.")
        a, b = (self.latent_values(tensors(self, data), True, self.seed_generator) for data in (first, last))
        z = {name: ops.stack([(1 - t) * a[name] + t * b[name] for t in np.linspace(0, 1, steps)], axis=1) for name in a}
        values = {name: ops.reshape(value, (-1, *value.shape[2:])) for name, value in z.items()}  # [N·steps, ...]
        values |= {name: ops.repeat(ops.cast(first[name], "float32"), steps, axis=0) for name in self.conditions}
        _, decoded = decode(self, values, True, self.seed_generator, beams=beams)
        lines = {name: ops.reshape(value, (-1, steps, *value.shape[1:])) for name, value in decoded.items()}
        return self._output("interpolate", [lines])

    def draw(self, n, conditions=None, observed=True, seed=None, means=()):
        """Draws all variables from p in the order of the generative factors: dict of tensors `[n, ...]` by name.

        Sequences whose steps depend on earlier ones are drawn step by step, all variables of a step before the next.

        Args:
            n: how many.
            conditions: dict of arrays `[n, ...]`, for a model whose p has conditions.
            observed: False leaves out the observed variables (which no latent may depend on then), names all but those.
            seed: an int or a `keras.random.SeedGenerator`; None: the model's own.
            means: names of sequences of which each step is the mean, given the steps before, not a draw.

        Raises:
            ValueError: missing conditions, or another number of them than n; an unbuilt model.
        """
        self.require_built()
        if not ops.is_tensor(n):
            check_counts("sample (or draw)", n=n)
        values = {name: ops.cast(value, "float32") for name, value in (conditions or {}).items()}
        if not set(self.generative_conditions) <= set(values) <= set(self.conditions):
            needed = self.generative_conditions
            latents = [name for name in values if name in self.latents]
            message = f"This model draws given {needed}; received conditions {tuple(values)}."
            if latents:
                message += f" {latents} are latents: decode takes their values, together with those of all others."
            elif needed:
                message += f" Write {{{', '.join(f'{name!r}: ...' for name in needed)}}}, arrays of {n} rows."
            raise ValueError(message)
        for name, value in values.items():
            if backend.is_concrete(value) and value.shape[0] != n:
                raise ValueError(f"{n} draws need {n} rows of the condition {name!r}; received {value.shape[0]}.")
        observed = self.observed if observed is True else observed or ()
        names = [f.name for f in self.generative if f.name in self.latents or f.name in observed]
        drawn = draw(self, n, values, names, self.seed_source(seed), means)
        return {name: drawn[name] for name in (*values, *names)}

    def sample(self, n, conditions=None, mean=False, seed=None):
        """Draws new data from the model, NumPy array `[n, ...]`; several observed variables: a dict of them.

        Args:
            n: how many.
            conditions: dict of arrays `[n, ...]`, for a model whose p has conditions.
            mean: return the mean of p(x|z) for the drawn z, the usual picture, instead of a draw from p(x|z). (An
                observed variable that others depend on is drawn; of a sequence each step is given the means before it.)
            seed: an int, for the same draws again; None: the model's own generator.

        Raises:
            ValueError: as for `draw`; a likelihood that has no mean in closed form (PixelCNN), with `mean`.
        """
        self.require_built()
        source, conditions = self.seed_source(seed), check_conditions(self, conditions)
        means = tuple(name for name in self.observed if name in self.sequences) if mean else ()
        observed = {*parents(self), *means} if mean else True
        values = self.draw(n, conditions, observed, source, means)
        if not set(self.observed) <= set(values):
            self.require_latents("A sample's mean")
            _, values = decode(self, values, True, source)
        return self._output("sample", [{name: values[name] for name in self.observed}])

    def call(self, inputs):
        """Reconstructs: the mean of p(x|z) at the mean of q(z|x), a tensor `[B, ...]`."""
        symbolic = not backend.is_concrete(keras.tree.flatten(inputs)[0])
        if self._within_keras_loop and (symbolic or self.run_eagerly):
            return inputs  # for Keras' steps, where the objective alone runs the networks
        self.require_latents("A call, which reconstructs,")
        return self._one_or_all(self._reconstruct(self.observe(inputs), True, self.seed_generator))

    def _reconstruct(self, data, mean, seed, beams=None):
        values = {name: data[name] for name in self.conditions}
        if self.sequences:  # each step is given the data before it
            values |= {name: v for name, v in completed(self, data).items() if name not in self.data_names}
        return decode(self, {**self.latent_values(data, mean, seed), **values}, mean, seed, beams=beams)[1]

    def futures(self, x, n=1, length=None, *, mean=True, batch_size=100, seed=None):
        r"""Continues sequences: draws what comes after their first steps, step by step, $x_t \sim p(x_t | x_{<t})$.

        Latents of the steps that are given are drawn from $q(z | x_{\le k})$, later ones from the prior.

        Args:
            x: the first k steps, `[N, k, ...]`; with conditions, or several observed variables, a dict by name.
            n: futures of each.
            length: T, how many steps they have, those given among them; None: as many as the model was built with.
            mean: whether each step is the mean of its distribution, and later ones are given that, as video models'
                papers do; False: a draw.
            batch_size: futures at a time.
            seed: an int, for the same futures again; None: the model's own generator.

        Returns: NumPy array `[n, N, T, ...]`, which repeats x in its first k steps; several observed variables: a dict.

        Raises:
            ValueError: a model without sequences, fewer steps than the model has to be given, or more than `length`; a
                likelihood that has no mean in closed form (PixelCNN), with `mean`.
        """
        self.require_built()
        return self._one_or_all(draw_futures(self, x, n, length, mean, batch_size, self.seed_source(seed)))

    def reconstruct(self, x, batch_size=500, *, mean=True, beams=None, seed=None):
        r"""Computes the mean of p(x|z) at the mean of q(z|x), NumPy array `[N, ...]`; several variables: a dict.

        Of a sequence that is given its own past, each step is given the true steps before it.

        Args:
            x: data `[N, ...]`.
            batch_size: examples at a time.
            mean: False for draws $z \sim q(z|x)$ and $x' \sim p(x|z)$ instead.
            beams: of sentences the most probable one is found by beam search, 1: word by word; None: as `mean` says.
            seed: an int, for the same draws again; None: the model's own generator.

        Raises:
            ValueError: unusable data; a distribution that has no mean in closed form (PixelCNN), with `mean`.
        """
        self.require_latents("reconstruct")
        source = self.seed_source(seed)
        batches = self._in_batches("reconstruct", x, batch_size)
        parts = [self._reconstruct(batch, mean, source, beams) for batch in batches]
        return self._output("reconstruct", parts)

    def predict(self, x, batch_size=None, verbose="auto", **kwargs):
        """Reconstructs data, NumPy array `[N, ...]`: `reconstruct` by its name in Keras."""
        if kwargs:
            with self.within_keras_loop(False):
                return super().predict(self.batches(x, batch_size), verbose=verbose, **kwargs)
        return self.reconstruct(x, **({} if batch_size is None else {"batch_size": batch_size}))

    # ---------------------------------------------------------------- saving

    def save(self, filepath, overwrite=True, zipped=None, **kwargs):
        """Saves model, weights and the state of training as a `.keras` file, which `vaekit.load` opens.

        Raises:
            ValueError: another kind of file, layers of one's own that could not be made again, or layers shared in a
                way that the file would not keep. Nothing is written.
        """
        saving.check_path(filepath, zipped)
        saving.check_class(self, LatentVariableModel)
        saving.check_layers(self)
        saving.check_kept(self)
        super().save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def get_config(self):
        def rows(factors):
            index = {id(layer): i for i, layer in enumerate(self.networks)}
            return [
                [f.name, index[id(f.layer)], f.given, *([f.weight] if getattr(f, "weight", 1) != 1 else [])]
                for f in factors
            ]

        return {
            "name": self.name,
            "seed": self.seed_generator.get_config()["seed"],
            **saving.serialize(self.networks),
            "inference": rows(self.inference),
            **({"features": rows(self.features)} if self.features else {}),
            "generative": rows(self.generative),
            "refinement": keras.saving.serialize_keras_object(self.refinement),
        }

    def export(self, filepath, format="tf_saved_model", part=None, verbose=False):
        """Writes the model's means as programs of float32 tensors, which run where vaekit and Keras are not.

        A SavedModel has three functions: `serve`, what `reconstruct` returns, `encode` and `decode`. They are called
        with a batch of any size, an array or, as those methods, a dict of arrays by name.

        ```python
        model.export("folder")
        loaded = tf.saved_model.load("folder")
        loaded.encode(x)  # the mean of q(z|x)
        ```

        Args:
            filepath: of a folder, or of a file with `format="onnx"`.
            format: `"tf_saved_model"` or `"onnx"`.
            part: `"serve"`, `"encode"` or `"decode"`; None: all three, in a SavedModel.
            verbose: whether to print what is there.

        Raises:
            ValueError: a part that draws random numbers. Nothing is written.
            ImportError: packages that are missing.
        """
        export(self, filepath, format, part, verbose)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        layers = saving.deserialize(config, custom_objects)

        def factors(rows):
            return [Factor(name, layers[i], tuple(given), *weight) for name, i, given, *weight in rows]

        refinement = keras.saving.deserialize_keras_object(config.get("refinement"), custom_objects)
        options = {name: value for name, value in config.items() if name not in saving.STRUCTURE}
        options["refinement"] = refinement
        if "features" in config:
            options["features"] = [Feature(name, layers[i], given) for name, i, given in config["features"]]
        return cls._assemble(factors(config["generative"]), factors(config["inference"]), options)

    @classmethod
    def _assemble(cls, generative, inference, options):
        return cls(generative, inference, **options)
