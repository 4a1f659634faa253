"""Latent variable models in Keras: training, evaluation, saving."""

import contextlib
import warnings
from types import MappingProxyType

import keras
import numpy as np
from keras import ops

from vaekit import backend, objectives
from vaekit.batches import Batches, check_counts, is_array
from vaekit.models import saving
from vaekit.models.data import TARGETS, as_batches
from vaekit.models.export import export
from vaekit.models.factorizations import Factorizations
from vaekit.models.factors import Factor, added_losses
from vaekit.objectives import ELBO, Objective
from vaekit.objectives.state import read_state
from vaekit.priors import StandardNormal
from vaekit.training import loop, step
from vaekit.training.callbacks import with_progress
from vaekit.training.finite import StopAtNaN, require_numbers


@keras.saving.register_keras_serializable("vaekit")
class LatentVariableModel(Factorizations):
    r"""A model $p(x, z) = \prod_i p(v_i | \mathrm{given}_i)$ with $q(z|x) = \prod_j q(z_j | \mathrm{given}_j)$.

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
        refinement: a `vaekit.inference.Refinement`, for semi-amortized inference; None: q is what its networks say.
        seed: integer for all of the model's sampling and shuffling; None: from Keras' own
            (`keras.utils.set_random_seed`).

    Raises:
        ValueError: factorizations that do not fit together.
    """

    def __init__(self, generative, inference, refinement=None, seed=None, **kwargs):
        super().__init__(generative, inference, refinement, seed, **kwargs)
        self.step = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name="step", aggregation="only_first_replica"
        )
        self._terms, self._reported = MappingProxyType({}), {}
        self._objective_variables = MappingProxyType({})

    # ---------------------------------------------------------------- training

    def compile(self, optimizer="adam", objective=None, **kwargs):
        """Chooses optimizer and objective; the count of training steps, which schedules follow, starts anew.

        Args:
            optimizer: Keras optimizer or its name.
            objective: from `vaekit.objectives`; None: `ELBO()`.
            **kwargs: as for `keras.Model.compile`, without losses and metrics. `steps_per_execution` training steps
                are one compiled program; without it, as many as take about a fifth of a second. Compile again after
                a change of what is trainable.
        """
        kind = optimizer if isinstance(optimizer, type) else type(optimizer)
        if issubclass(kind, Objective):
            raise ValueError(
                "The optimizer comes first, the objective by its name: "
                f'compile("adam", objective={kind.__name__}(...)).'
            )
        if isinstance(objective, type) and issubclass(objective, Objective):
            try:
                objective = objective()
            except TypeError as error:
                raise ValueError(f"{objective.__name__} has settings that must be given: {error}.") from None
        if kwargs.get("loss") is not None or (objective is not None and not isinstance(objective, Objective)):
            wrong = objective if kwargs.get("loss") is None else kwargs["loss"]
            known = {n.lower(): n for n in objectives.__all__ if n not in ("Objective", "WarmUp")}
            name = known.get(str(wrong).lower().replace("_", ""), "ELBO")
            raise ValueError(
                f"A latent variable model is trained by an objective, such as vaekit.objectives.{name}(); "
                f"got {wrong!r}."
            )
        if kwargs.get("metrics") or kwargs.get("weighted_metrics"):
            raise ValueError("Metrics compare predictions with targets, which a latent variable model has not.")
        if kwargs.get("steps_per_execution") == "auto":
            del kwargs["steps_per_execution"]
        self._chosen = {"jit_compile", "steps_per_execution"} & set(kwargs)  # the others are each machine's own choice
        kwargs.setdefault("jit_compile", backend.prefers_jit() and not kwargs.get("run_eagerly"))
        self._trained = None  # ids of weights, from the first fit on
        super().compile(optimizer=optimizer, **kwargs)
        if self.built:
            self.build_optimizer()
        self.objective = objective or ELBO()
        _, variables, layers = read_state((self.objective, self.refinement))
        mine = {id(layer) for layer in self._flatten_layers()}
        if outside := [layer.name for layer in layers if layer.trainable and id(layer) not in mine]:
            warnings.warn(
                f"The objective holds networks that are no part of the model, {outside}: they are neither trained nor "
                "saved with it. Make them parts of the model, or set trainable=False.",
                stacklevel=2,
            )
        held = {id(v) for v in super().variables}
        own = [v for v in variables if id(v) not in held]
        for variable in own:
            variable.trainable = False  # assigned, saved; not trained
        self._objective_variables = MappingProxyType({f"objective_{i}": v for i, v in enumerate(own)})
        # proxies, since Keras tracks what stands in a plain dict as state, which a built model must not gain
        self._terms = MappingProxyType({name: keras.metrics.Mean(name) for name in self.objective.terms(self)})
        self.step.assign(0)
        self._reported, self._follows, self.step_programs, self._optimizer_config = {}, True, {}, None
        self._keras_settings = MappingProxyType({})
        self.programs.made.clear()

    @property
    def metrics(self):
        return [*super().metrics, *self._terms.values()]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        settings = self.settings()
        with added_losses(self) as added:
            loss, terms = self.objective(self, x, self.step, training)  # [B]
            if sample_weight is not None:
                loss = loss * _weights(sample_weight, loss)
            priors = [v.regularizer(v) for v in self.trainable_variables if v.regularizer is not None]  # on weights
            loss = ops.mean(loss) + sum([*added(), *priors])
        # the metrics after the losses that layers add, since here another replica may get its turn
        self._update_terms(terms, training)
        if training:
            self.step.assign(self.step + 1)
        self._follows = self._follows and self.settings() == settings
        return loss / backend.replicas()  # whose gradients are summed

    def _update_terms(self, terms, training):
        if unknown := [name for name in terms if name not in self._terms]:
            raise ValueError(
                f"{type(self.objective).__name__} reports {unknown}, which its terms(model) does not name; those are "
                f"{list(self._terms)}. Define terms(model) to return the names of all terms."
            )
        self._reported = {**self._reported, training: frozenset(terms)}
        for name, value in terms.items():
            self._terms[name].update_state(value)

    def get_metrics_result(self):
        silent = self._terms.keys() - frozenset().union(*self._reported.values()) if self._reported else ()
        return {name: value for name, value in super().get_metrics_result().items() if name not in silent}

    @property
    def variables(self):
        """All state: weights, seeds, and the objective's own variables."""
        return [*super().variables, *self._objective_variables.values()]

    def _batches(self, x, batch_size=None, shuffle=False):
        return as_batches(self, x, batch_size, shuffle)

    def _build_loss(self, batches):
        """Runs a `compute_loss` of one's own once: layers that it builds within a compiled program would be lost."""
        known = type(self).compute_loss is LatentVariableModel.compute_loss or True in self.step_programs
        if known or type(batches) is not Batches:
            return
        before, rows = len(self.trainable_variables), keras.tree.map_structure(lambda v: v[:2], batches[0][0])
        with backend.Scope(initialize_variables=True):
            self.compute_loss(keras.tree.map_structure(ops.convert_to_tensor, rows), training=True)
        if self.optimizer.built and len(self.trainable_variables) > before:
            raise ValueError(
                "compute_loss has built its layers only now: compile the model again, so that the optimizer knows "
                "their weights."
            )

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
        checkpoint=None,
        **kwargs,
    ):
        """As `keras.Model.fit`, without targets and weights.

        Arrays, dynamically binarized data and dicts of them are checked, then shuffled by the model's own seed. Of
        `tf.data` the first batch is checked, of a `PyDataset` or generator each; their order is their own. `history`
        has every term in nats.

        Args:
            x: data `[N, ...]`, a dict of arrays by variable name, or an iterable of batches.
            batch_size: examples a step, 100 if None; only with arrays.
            validation_data: like `x`.
            shuffle: a new order, and new draws of dynamically binarized data, in every epoch; False: neither.
            checkpoint: path of a file that keeps the state of training, written after the first epoch that ends a
                minute after the one before, and after the last. A `fit` that finds it goes on from there to the weights
                that it would have come to without a break, bit for bit (same backend, device and versions). Only with
                arrays.

        Raises:
            ValueError: unusable data, targets, or options that need them.
            CheckpointError: a checkpoint that is damaged or belongs to another training.
        """
        self._assert_compile_called("fit")
        if y is not None:
            raise ValueError(TARGETS)
        check_counts("fit", least=0, epochs=epochs)
        for name in {"validation_split", "sample_weight", "class_weight"} & set(kwargs):
            raise ValueError(f"fit does without {name} here: pass validation_data, or batches of your own making.")
        batches = self._batches(x, batch_size, shuffle)
        self._build_loss(batches)
        self._require_trained()
        if validation_data is not None:
            size = kwargs.pop("validation_batch_size", None)
            size = batches.batch_size if size is None and isinstance(batches, Batches) else size
            validation_data = self._batches(validation_data, size if is_array(validation_data) else None)
        options = dict(epochs=epochs, callbacks=with_progress(callbacks, verbose), **kwargs)
        known = {"validation_freq"} | ({"initial_epoch"} if checkpoint is None else set())
        if self.takes_programs(batches, "train_step") and known >= set(kwargs):
            loop.train([loop.Fit(self, batches, validation_data, checkpoint=checkpoint, **options)])
            return self.history
        if checkpoint is not None:
            raise ValueError(
                "fit keeps a checkpoint where it trains on arrays by its own loop, with no options but epochs, "
                "callbacks, validation and verbose. keras.callbacks.BackupAndRestore serves other data and loops."
            )
        # shuffle=False: `Batches` have an order of their own, other iterables keep theirs
        options["callbacks"] = [StopAtNaN(), *options["callbacks"], FollowSettings()]
        with self._keras_loop():
            return super().fit(batches, validation_data=validation_data, verbose=0, shuffle=False, **options)

    @contextlib.contextmanager
    def _keras_loop(self):
        """Within this context Keras runs the steps, and the model is not called for what the objective does itself."""
        self._within_keras_loop, before = True, self._within_keras_loop
        try:
            with backend.values_held([*self.variables, *self.metrics_variables, *self.optimizer.variables]):
                yield
        finally:
            self._within_keras_loop = before

    def build_optimizer(self):
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

    def _require_trained(self):
        """Raises ValueError if other weights are trainable than in an earlier `fit`."""
        trained = frozenset(map(id, self.trainable_variables))
        self._trained = self._trained or trained
        if trained != self._trained:
            raise ValueError("What is trainable has changed since compile: compile the model again.")

    def optimizer_config(self):
        """The compiled optimizer's configuration, as it was at first: callbacks change its learning rate."""
        if self._optimizer_config is None:
            self._optimizer_config = keras.saving.serialize_keras_object(self.optimizer)
        return self._optimizer_config

    def takes_programs(self, batches, step):
        """Whether steps and batches are ours: not so with an overridden `train_step`, say, or with `tf.distribute`."""
        ours = getattr(type(self), step) is getattr(keras.Model, step)
        return type(batches) is Batches and ours and backend.replicas(self) == 1

    def require_settings(self, settings):
        """Raises ValueError if a number of the objective was changed within an epoch."""
        if self._follows and self.settings() != settings:
            raise ValueError(
                "A number of the objective was changed within an epoch, and compiled programs have it for a constant. "
                "Change it between epochs, or make it a variable, ELBO(beta=keras.Variable(0.0)), and assign to it."
            )

    def make_train_function(self, force=False):
        settings = self.settings()
        super().make_train_function(force=force or settings != self._keras_settings.get("train"))
        self._keras_settings = MappingProxyType({**self._keras_settings, "train": settings})

    def make_test_function(self, force=False):
        settings = self.settings()
        super().make_test_function(force=force or settings != self._keras_settings.get("test"))
        self._keras_settings = MappingProxyType({**self._keras_settings, "test": settings})

    def chosen(self, option):
        """Whether `compile` was given `jit_compile` or `steps_per_execution`, which each machine chooses else."""
        return option in self._chosen

    def step_state(self, training):
        """All that a step of training or evaluation may change."""
        if training:
            self.build_optimizer()
        return [*self.variables, *self.metrics_variables, *(self.optimizer.variables if training else ())]

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """As `keras.Model.train_on_batch`, on data that are checked."""
        x = self._one_batch(x, y)
        with self._keras_loop():
            return super().train_on_batch(x, None, sample_weight, class_weight, return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """As `keras.Model.test_on_batch`, on data that are checked."""
        x = self._one_batch(x, y)
        with self._keras_loop():
            return super().test_on_batch(x, None, sample_weight, return_dict)

    def _one_batch(self, x, y):
        if y is not None:
            raise ValueError(TARGETS)
        checked = {name: np.asarray(array) for name, array in self.arrays(x).items()}
        return checked if isinstance(x, dict) else checked[self.data_names[0]]

    def count_operations(self, batch):
        """Floating-point operations of one training step on a batch, as XLA counts them; on JAX alone.

        Raises:
            RuntimeError: on TensorFlow.
        """
        self.build_optimizer()
        state = [*self.variables, *self.metrics_variables, *self.optimizer.variables]
        return backend.count_operations(lambda x: step.train(self, x), state, ops.convert_to_tensor(batch))

    def evaluate(
        self, x=None, y=None, batch_size=None, verbose="auto", callbacks=None, seed=None, return_dict=True, **kwargs
    ):
        """The objective's terms on data: dict of means in nats (`return_dict=False`: a list, as in Keras).

        Args:
            seed: an int, for the same samples of z at each call.
        """
        self._assert_compile_called("evaluate")
        if y is not None:
            raise ValueError(TARGETS)
        validation = isinstance(callbacks, keras.callbacks.CallbackList)  # within `fit`, which has looked at the data
        with self.programs.lock, self.seeded(seed):
            batches = x if validation and not is_array(x) else self._batches(x, batch_size)
            callbacks = with_progress(callbacks, verbose)
            if kwargs or not self.takes_programs(batches, "test_step"):
                with self._keras_loop():
                    logs = super().evaluate(batches, verbose=0, callbacks=callbacks, return_dict=True, **kwargs)
            else:
                logs = loop.evaluate(self, batches, callbacks)
        if not validation:
            require_numbers(self, "evaluate", np.array([float(value) for value in logs.values()]))
        return logs if return_dict else list(logs.values())

    @contextlib.contextmanager
    def seeded(self, seed):
        """Within this context the model's samples are those of `seed`, an int; None: nothing changes."""
        state = ops.convert_to_numpy(self.seed_generator.state.value).copy()
        if seed is not None:
            start = [backend.integer_seed(seed), 0]
            self.seed_generator.state.assign(ops.cast(start, self.seed_generator.state.dtype))
        try:
            yield
        finally:
            if seed is not None:
                self.seed_generator.state.assign(state)

    def predict(self, x, batch_size=None, verbose="auto", **kwargs):
        """Reconstructions of data, NumPy array `[N, ...]`: `reconstruct` by its name in Keras."""
        if kwargs:
            self._within_keras_loop, before = False, self._within_keras_loop
            try:
                return super().predict(self._batches(x, batch_size), verbose=verbose, **kwargs)
            finally:
                self._within_keras_loop = before
        return self.reconstruct(x, **({} if batch_size is None else {"batch_size": batch_size}))

    # ---------------------------------------------------------------- saving

    def save(self, filepath, overwrite=True, zipped=None, **kwargs):
        """Saves model, weights and the state of training as a `.keras` file, which `vaekit.load` opens.

        Raises:
            ValueError: another kind of file, or layers shared in a way that it would not keep. Nothing is written.
        """
        saving.check_path(filepath, zipped)
        saving.check_class(self, LatentVariableModel, ("prior",) if isinstance(self, VAE) else ())
        saving.check_kept(self)
        super().save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def get_config(self):
        def rows(factors):
            index = {id(layer): i for i, layer in enumerate(self.networks)}
            return [[f.name, index[id(f.layer)], f.given, *([f.weight] if f.weight != 1 else [])] for f in factors]

        return {
            "name": self.name,
            "seed": self.seed_generator.get_config()["seed"],
            **saving.serialize(self.networks),
            "inference": rows(self.inference),
            "generative": rows(self.generative),
            "refinement": keras.saving.serialize_keras_object(self.refinement),
        }

    def export(self, filepath, format="tf_saved_model", part=None, verbose=False):
        """Writes the model's means as programs of float32 tensors, which run where vaekit and Keras are not.

        A SavedModel has three functions: `serve`, what `reconstruct` returns, `encode` and `decode`. They are called
        with a batch of any size, an array or, as those methods, a dict of arrays by name.

        ```python
        model.export("folder")
        tf.saved_model.load("folder").encode(x)  # the mean of q(z|x)
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
        return cls._assemble(factors(config["generative"]), factors(config["inference"]), options)

    @classmethod
    def _assemble(cls, generative, inference, options):
        return cls(generative, inference, **options)

    def save_own_variables(self, store):
        store["step"] = ops.convert_to_numpy(self.step)
        store["seed_state"] = ops.convert_to_numpy(self.seed_generator.state)
        for name, variable in self._objective_variables.items():
            store[name] = ops.convert_to_numpy(variable)

    def load_own_variables(self, store):
        self.step.assign(store["step"][()])
        self.seed_generator.state.assign(ops.cast(store["seed_state"][()], self.seed_generator.state.dtype))
        for name, variable in self._objective_variables.items():
            if name in store.keys():
                variable.assign(store[name][()])

    def get_compile_config(self):
        if not self.compiled:
            return {}
        dropped = {"loss", "loss_weights", "metrics", "weighted_metrics"}
        dropped |= {"jit_compile", "steps_per_execution"} - self._chosen
        kept = {k: v for k, v in super().get_compile_config().items() if k not in dropped}
        return {**kept, "objective": keras.saving.serialize_keras_object(self.objective)}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))


class FollowSettings(keras.callbacks.Callback):
    """In Keras' own loop: makes the programs anew when a number of the objective has changed."""

    def on_epoch_begin(self, epoch, logs=None):
        self.model.make_train_function()

    def on_train_batch_begin(self, batch, logs=None):
        self.model.require_settings(self.model._keras_settings["train"])


def _weights(sample_weight, loss):
    """Weights of examples, `[B]` or `[B, 1]`, like the loss `[B]`."""
    if len(loss.shape) != 1:
        raise ValueError(f"With sample_weight an objective's loss should have shape [B]; it has {list(loss.shape)}.")
    weights = ops.cast(sample_weight, loss.dtype)
    if len(weights.shape) == 2 and weights.shape[1] == 1:
        weights = ops.squeeze(weights, axis=1)
    if len(weights.shape) > 1:
        raise ValueError(f"sample_weight should have shape [B] or [B, 1]; received {list(sample_weight.shape)}.")
    return weights


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
        refinement, seed: as for `LatentVariableModel`.

    Source: Kingma & Welling 2014.
    """

    def __init__(self, encoder, decoder, prior=None, refinement=None, seed=None, **kwargs):
        for name, network in {"encoder": encoder, "decoder": decoder}.items():
            if not isinstance(network, keras.layers.Layer):
                raise ValueError(
                    f"VAE expects its {name} to be a Keras layer or model that ends in a distribution layer; received "
                    f"{network!r}."
                )
        prior = StandardNormal() if prior is None else prior
        super().__init__(
            generative=[Factor("z", prior), Factor("x", decoder, given="z")],
            inference=[Factor("z", encoder, given="x")],
            refinement=refinement,
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
    def _assemble(cls, generative, inference, options):
        prior, decoder = (factor.layer for factor in generative)
        return cls(inference[0].layer, decoder, prior=prior, **options)
