"""A Keras model that is trained by an objective: `compile`, `fit`, `evaluate`, and the loss of a batch."""

import contextlib
import warnings
from types import MappingProxyType

import keras
import numpy as np
from keras import ops

from vaekit import backend
from vaekit.batches import Batches, BatchesByLength, check_counts, is_array, require_no_targets
from vaekit.objectives.state import read_state
from vaekit.training import loop, step
from vaekit.training.aggressive import AggressiveInference
from vaekit.training.arguments import build_loss, checked_objective, require_no_weights, weights_like
from vaekit.training.callbacks import with_progress
from vaekit.training.finite import StopAtNaN, require_numbers
from vaekit.training.keras_loop import FollowSettings, KerasLoop
from vaekit.training.losses import added_losses
from vaekit.training.programs import Programs


class Trainer(KerasLoop):
    """Base of `LatentVariableModel`: how a model is trained, whatever its densities.

    A subclass has `batches(x, batch_size, shuffle)`, which checks data, `inference_weights()`, those of q, and
    `seed_generator`, for all of its noise.

    Attributes:
        step: variable, training steps taken since `compile`.
        objective: a `vaekit.objectives.Objective`; None before `compile`.
        diverged: whether training has ended in NaN, and the weights may be what that left.
        programs: the compiled programs of the model.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.step = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name="step", aggregation="only_first_replica"
        )
        self.objective, self.diverged, self.programs = None, False, Programs()
        self._terms, self._reported, self._stable = MappingProxyType({}), {}, True
        self._objective_variables = MappingProxyType({})

    def compile(self, optimizer="adam", objective=None, **kwargs):
        """Chooses optimizer and objective; the count of training steps, which schedules follow, starts anew.

        Args:
            optimizer: Keras optimizer or its name.
            objective: from `vaekit.objectives`; None: `ELBO()`.
            **kwargs: as for `keras.Model.compile`, without losses and metrics. `steps_per_execution` training steps
                are one compiled program; without it, as many as take about a fifth of a second. Compile again after
                a change of what is trainable.
        """
        objective = checked_objective(optimizer, objective, kwargs)
        if kwargs.get("steps_per_execution") == "auto":
            del kwargs["steps_per_execution"]
        self._explicit = {"jit_compile", "steps_per_execution"} & set(kwargs)  # else each machine chooses
        kwargs.setdefault("jit_compile", backend.prefers_jit() and not kwargs.get("run_eagerly"))
        super().compile(optimizer=optimizer, **kwargs)
        if isinstance(getattr(self.optimizer, "inner_optimizer", None), AggressiveInference):
            raise ValueError(
                "AggressiveInference decides by the loss, which mixed_float16 scales: train in float32 or "
                "mixed_bfloat16."
            )
        if isinstance(self.optimizer, AggressiveInference):
            self.optimizer.bind(self.inference_weights)
        if self.built:
            self.build_optimizer()
        self.objective = objective
        _, variables, layers = read_state(self.constants())
        parts = {id(layer) for layer in self._flatten_layers()}
        if outside := [layer.name for layer in layers if layer.trainable and id(layer) not in parts]:
            warnings.warn(
                f"The objective holds networks that are no part of the model, {outside}: they are neither trained nor "
                "saved with it. Make them parts of the model, or set trainable=False.",
                stacklevel=2,
            )
        known = {id(v) for v in super().variables}
        new = [v for v in variables if id(v) not in known]
        for variable in new:
            variable.trainable = False  # assigned, saved; not trained
        self._objective_variables = MappingProxyType({f"objective_{i}": v for i, v in enumerate(new)})
        # proxies, since Keras tracks what stands in a plain dict as state, which a built model must not gain
        self._terms = MappingProxyType({name: keras.metrics.Mean(name) for name in self.objective.terms(self)})
        self.step.assign(0)
        self._reported, self._stable, self.step_programs = {}, True, {}
        self._optimizer_config = self._objective_config = None
        self._keras_settings = MappingProxyType({})
        self.programs.cache.clear()

    @property
    def metrics(self):
        return [*super().metrics, *self._terms.values()]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Computes the loss of a batch x `[B, ...]`, a scalar in nats, and updates the terms' metrics.

        `sample_weight`: weights of the examples `[B]`. y and y_pred are not used.
        """
        settings = self.settings()
        with added_losses(self) as added:
            result = self.objective(self, x, self.step, training)
            if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
                raise ValueError(
                    f"{type(self.objective).__name__} should return two things, the loss [B] and a dict of named terms "
                    f"[B], {{'bound': ...}} at least; it returned {type(result).__name__}."
                )
            loss, terms = result  # [B]
            if sample_weight is not None:
                loss = loss * weights_like(loss, sample_weight)
            priors = [v.regularizer(v) for v in self.trainable_variables if v.regularizer is not None]  # on weights
            loss = ops.mean(loss) + sum([*added(), *priors])
        # the metrics after the losses that layers add, since here another replica may get its turn
        self._update_terms(terms, training)
        if training:
            self.step.assign(self.step + 1)
        self._stable = self._stable and self.settings() == settings
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
        """Trains, as `keras.Model.fit`, without targets and weights.

        Arrays, dynamically binarized data and dicts of them are checked, then shuffled by the model's own seed. Of
        `tf.data` the first batch is checked, of a `PyDataset` or generator each; their order is their own. `history`
        has every term in nats.

        Args:
            x: data `[N, ...]`, a dict of arrays by variable name, or an iterable of batches.
            batch_size: examples a step, 100 if None; only with arrays.
            validation_data: like `x`.
            shuffle: a new order, and new draws of dynamically binarized data, in every epoch; False: neither.
            checkpoint: path of a file with the state of training, written after the first epoch that ends a
                minute after the one before, and after the last. A `fit` that finds it goes on from there to the weights
                that it would have come to without a break, bit for bit (same backend, device and versions). Of
                callbacks' attributes the file has numbers, texts and lists of arrays; other lists, dicts and arrays
                start anew. Only with arrays.

        Raises:
            ValueError: unusable data, targets, or options that need them.
            CheckpointError: a checkpoint that is damaged or belongs to another training.
        """
        self._assert_compile_called("fit")
        require_no_targets(y)
        check_counts("fit", least=0, epochs=epochs)
        if "validation_split" in kwargs:
            raise ValueError("fit does without validation_split here: cut the data, and pass validation_data.")
        require_no_weights("fit", kwargs)
        batches = self.batches(x, batch_size, shuffle)
        if type(self).compute_loss is not Trainer.compute_loss:
            build_loss(self, batches)
        if self.optimizer.built:
            self.build_optimizer()
        if validation_data is not None:
            size = kwargs.pop("validation_batch_size", None)
            size = batches.batch_size if size is None and isinstance(batches, Batches) else size
            validation_data = self.batches(validation_data, size if is_array(validation_data) else None)
        options = dict(epochs=epochs, callbacks=with_progress(callbacks, verbose), **kwargs)
        supported = {"validation_freq"} | ({"initial_epoch"} if checkpoint is None else set())
        if self.takes_programs(batches, "train_step") and supported >= set(kwargs):
            loop.train([loop.Fit(self, batches, validation_data, checkpoint=checkpoint, **options)])
            return self.history
        if checkpoint is not None:
            raise ValueError(
                "fit keeps a checkpoint where it trains on arrays by its own loop, with no options but epochs, "
                "callbacks, validation and verbose. keras.callbacks.BackupAndRestore serves other data and loops."
            )
        if isinstance(self.optimizer, AggressiveInference):
            raise ValueError(
                "AggressiveInference trains on arrays, or vaekit.batches, with no options but those above."
            )
        # shuffle=False: `Batches` have an order of their own, other iterables keep theirs
        options["callbacks"] = [StopAtNaN(), *options["callbacks"], FollowSettings()]
        with self.within_keras_loop():
            return super().fit(batches, validation_data=validation_data, verbose=0, shuffle=False, **options)

    def build_optimizer(self):
        """Builds the optimizer; raises ValueError for one that was built for other weights than are trainable."""
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        if {*map(id, self.optimizer._trainable_variables)} != {*map(id, self.trainable_variables)}:
            raise ValueError(
                "The optimizer was built for other weights than those that are trainable now: compile the model again, "
                "with a new optimizer."
            )

    def constants(self):
        """Objects, beside the networks, whose numbers are constants of this model's compiled programs."""
        return (self.objective,)

    def settings(self):
        """The numbers in `constants`, a text; "" where computing the loss changes them."""
        return read_state(self.constants())[0] if self._stable else ""

    def program(self, key, make):
        """Returns a compiled program of this model, which `make()` compiles once for a key.

        It is compiled anew when a number in `constants` has changed.
        """
        return self.programs.get(key, self.settings(), make)

    def optimizer_config(self):
        """The compiled optimizer's configuration, as it was at first: callbacks change its learning rate."""
        if self._optimizer_config is None:
            self._optimizer_config = keras.saving.serialize_keras_object(self.optimizer)
        return self._optimizer_config

    def objective_config(self):
        """The compiled objective's configuration, as it was at first: callbacks may assign to its variables."""
        if self._objective_config is None:
            self._objective_config = keras.saving.serialize_keras_object(self.objective)
        return self._objective_config

    def takes_programs(self, batches, step):
        """Returns whether compiled programs can take the steps: not those of a subclass, or with `tf.distribute`."""
        inherited = getattr(type(self), step) is getattr(keras.Model, step)
        return type(batches) in (Batches, BatchesByLength) and inherited and backend.replicas(self) == 1

    def require_settings(self, settings):
        """Raises ValueError if a number of the objective was changed within an epoch."""
        if self._stable and self.settings() != settings:
            raise ValueError(
                "A number of the objective was changed within an epoch, and compiled programs have it for a constant. "
                "Change it between epochs, or make it a variable, ELBO(beta=keras.Variable(0.0)), and assign to it."
            )

    def chosen(self, option):
        """Returns whether an option, `jit_compile` or `steps_per_execution`, was passed to `compile`."""
        return option in self._explicit

    def step_state(self, training):
        """Lists all variables that a step of training or evaluation may change."""
        if training:
            self.build_optimizer()
        return [*self.variables, *self.metrics_variables, *(self.optimizer.variables if training else ())]

    def count_operations(self, batch):
        """Counts floating-point operations of one training step on a batch, as XLA does; on JAX alone.

        Raises:
            RuntimeError: on TensorFlow.
        """
        state = self.step_state(training=True)
        return backend.count_operations(lambda x: step.train(self, x), state, ops.convert_to_tensor(batch))

    def evaluate(
        self, x=None, y=None, batch_size=None, verbose="auto", callbacks=None, seed=None, return_dict=True, **kwargs
    ):
        """Evaluates the objective's terms on data: dict of means in nats (`return_dict=False`: a list, as in Keras).

        Args:
            seed: an int, for the same samples of z at each call.
        """
        self._assert_compile_called("evaluate")
        require_no_targets(y)
        require_no_weights("evaluate", kwargs)
        validation = isinstance(callbacks, keras.callbacks.CallbackList)  # within `fit`, which has looked at the data
        with self.programs.lock, self.seeded(seed):
            batches = x if validation and not is_array(x) else self.batches(x, batch_size)
            callbacks = with_progress(callbacks, verbose)
            if kwargs or not self.takes_programs(batches, "test_step"):
                with self.within_keras_loop():
                    logs = super().evaluate(batches, verbose=0, callbacks=callbacks, return_dict=True, **kwargs)
            else:
                logs = loop.evaluate(self, batches, callbacks)
        if not validation:
            require_numbers(self, "evaluate", np.array([float(value) for value in logs.values()]))
        return logs if return_dict else list(logs.values())

    @contextlib.contextmanager
    def seeded(self, seed):
        """A context in which the model's samples are those of `seed`, an int; None: no change."""
        state = ops.convert_to_numpy(self.seed_generator.state.value).copy()
        if seed is not None:
            start = [backend.integer_seed(seed), 0]
            self.seed_generator.state.assign(ops.cast(start, self.seed_generator.state.dtype))
        try:
            yield
        finally:
            if seed is not None:
                self.seed_generator.state.assign(state)

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
        dropped |= {"jit_compile", "steps_per_execution"} - self._explicit
        config = {k: v for k, v in super().get_compile_config().items() if k not in dropped}
        return {**config, "objective": keras.saving.serialize_keras_object(self.objective)}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
