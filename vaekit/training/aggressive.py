"""Aggressive inference: an encoder that is never behind its decoder, as long as codes are decided on."""

import math

import keras
from keras import ops

from vaekit.batches import check_counts


@keras.saving.register_keras_serializable("vaekit")
class AggressiveInference(keras.optimizers.Optimizer):
    r"""Any Keras optimizer, whose steps train q alone until the bound stops improving, then p alone, once.

    ```python
    model.compile(vk.training.AggressiveInference("adam"))
    model.fit(x, epochs=50, callbacks=[vk.evaluation.WhileInformationRises(validation)])
    ```

    A training step is one of q, with p as it is, as long as the loss's mean over `window` steps falls from one window
    to the next, and for at most `most` steps; the step after these is one of p. Then q's turn comes again. Each step,
    whosever it is, takes the next batch. Where `aggressive` is False, each step trains both, as without this optimizer:
    `vaekit.evaluation.WhileInformationRises` ends the aggressive part. Weights that p and q share are q's.

    Each side has an optimizer of its own, whose state rests with it: clipping by a global norm is by that of a side.
    The state is saved with a model, and with a checkpoint of `fit`.

    Args:
        optimizer: Keras optimizer or its name, of which each side has a copy.
        window: steps of q whose losses are averaged.
        most: steps of q for one of p, at most.

    Attributes:
        aggressive: variable, whether the turns are taken.

    Raises:
        ValueError: no optimizer, counts below 1; when training begins, a model that is none of vaekit's, or has no q.

    Source: He et al. 2019, algorithm 1.
    """

    def __init__(self, optimizer="adam", window=10, most=100, name=None):
        check_counts("AggressiveInference", window=window, most=most)
        try:
            optimizer = keras.optimizers.get(optimizer)
        except ValueError:
            optimizer = None
        if optimizer is None or isinstance(optimizer, AggressiveInference):
            raise ValueError("AggressiveInference expects a Keras optimizer or its name ('adam'), of another kind.")
        super().__init__(learning_rate=0.0, name=name)  # required, and not used: each side has its own
        config = keras.saving.serialize_keras_object(optimizer)
        self.of_q, self.of_p = (keras.saving.deserialize_keras_object(config) for _ in range(2))
        self.window, self.most = int(window), int(most)
        self.inference_weights = None

        def variable(name, value, dtype="float32"):
            return self.add_variable((), keras.initializers.Constant(value), dtype, name=name)

        self.aggressive = variable("aggressive", True, "bool")
        self.turn_of_p = variable("turn_of_p", False, "bool")
        self.steps_of_q = variable("steps_of_q", 0, "int32")  # since p's last one
        self.total = variable("total", 0.0)  # of the losses in this window
        self.before = variable("before", math.inf)  # mean of the window before
        self.own = [self.aggressive, self.turn_of_p, self.steps_of_q, self.total, self.before]

    def bind(self, inference_weights):
        """Tells which weights are q's: a function that returns a list of variables."""
        self.inference_weights = inference_weights

    def build(self, variables):
        if self.inference_weights is None:
            raise ValueError("AggressiveInference trains p and q of a vaekit model: compile one with it.")
        q = {id(v) for v in self.inference_weights()}
        self.is_of_q = [id(v) in q for v in variables]
        if not any(self.is_of_q) or all(self.is_of_q):
            raise ValueError(
                "AggressiveInference takes turns between p and q: the model needs weights of both to train."
            )
        self.of_q.build(self._side(variables, True))
        self.of_p.build(self._side(variables, False))
        super().build(variables)

    def _side(self, values, of_q):
        return [value for value, mine in zip(values, self.is_of_q, strict=True) if mine == of_q]

    def scale_loss(self, loss):
        """Counts the loss of a step, which passes here before its gradient is taken."""
        self.total.assign(self.total + ops.stop_gradient(ops.cast(loss, "float32")))
        return loss

    def apply(self, grads, trainable_variables=None):
        variables = list(self._trainable_variables if trainable_variables is None else trainable_variables)
        if not self.built:
            self.build(variables)
        of_p, aggressive = map(ops.convert_to_tensor, (self.turn_of_p, self.aggressive))
        for optimizer, is_q, turn in ((self.of_q, True, ops.logical_not(of_p)), (self.of_p, False, of_p)):
            side, moves = self._side(variables, is_q), ops.logical_or(turn, ops.logical_not(aggressive))
            state = [*side, *optimizer.variables]
            old = [ops.copy(v) for v in state]
            optimizer.apply(self._side(grads, is_q), side)
            for variable, value in zip(state, old, strict=True):
                variable.assign(ops.where(moves, ops.convert_to_tensor(variable), value))
        self._decide(of_p, aggressive)

    def _decide(self, of_p, aggressive):
        """Decides whose turn the next step is, after one of p or of q."""
        steps, total, before = map(ops.convert_to_tensor, (self.steps_of_q, self.total, self.before))
        steps = ops.where(of_p, 0, steps + 1)
        ends = steps % self.window == 0  # of a window, or after p's step
        mean = ops.where(of_p, math.inf, total / self.window)
        over = ops.logical_or(ops.logical_and(ends, mean >= before), steps >= self.most)
        p_next = ops.logical_and(ops.logical_and(over, ops.logical_not(of_p)), aggressive)
        self.turn_of_p.assign(p_next)
        self.before.assign(ops.where(ends, mean, before))
        self.total.assign(ops.where(ops.logical_or(ends, p_next), 0.0, total))
        self.steps_of_q.assign(steps)

    # ---------------------------------------------------------------- the state is that of both sides, and of the turns

    @property
    def variables(self):
        return [*self.of_q.variables, *self.of_p.variables, *self.own]

    @property
    def iterations(self):
        return self.of_p.iterations

    @property
    def learning_rate(self):
        return self.of_p.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self.of_q.learning_rate = self.of_p.learning_rate = value

    def set_weights(self, weights):
        for variable, value in zip(self.variables, weights, strict=True):
            variable.assign(value)

    def finalize_variable_values(self, var_list):
        for optimizer, is_q in ((self.of_q, True), (self.of_p, False)):
            optimizer.finalize_variable_values(self._side(var_list, is_q))

    def save_own_variables(self, store):
        for i, variable in enumerate(self.own):
            store[str(i)] = ops.convert_to_numpy(variable)

    def load_own_variables(self, store):
        for i, variable in enumerate(self.own):
            variable.assign(ops.cast(store[str(i)][()], variable.dtype))

    def get_config(self):
        optimizer = keras.saving.serialize_keras_object(self.of_p)
        return {"optimizer": optimizer, "window": self.window, "most": self.most, "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        optimizer = keras.saving.deserialize_keras_object(config["optimizer"], custom_objects)
        return cls(**{**config, "optimizer": optimizer})
