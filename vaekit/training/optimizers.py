"""Normalized gradients, for any optimizer."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("vaekit")
class NormalizedGradients(keras.optimizers.Optimizer):
    r"""Any Keras optimizer, fed with each weight tensor's gradient divided by its norm: $g / (\|g\|_2 + \epsilon)$.

    ```python
    model.compile(vk.training.NormalizedGradients(keras.optimizers.Adam(5e-4)))
    ```

    A step then depends on the gradient's direction in each tensor, not on the scale of the loss. Clipping, weight
    decay and the accumulation of gradients are the wrapped optimizer's and act on normalized gradients.

    Args:
        optimizer: Keras optimizer or its name. One that is wrapped already is not wrapped twice.
        epsilon: keeps a gradient of zero at zero.

    Raises:
        ValueError: no optimizer; one that scales the loss, which normalization would make it forget; epsilon ≤ 0.

    Source: the code of Tomczak & Welling 2018 (Adam, ε = 1e-7).
    """

    def __init__(self, optimizer, epsilon=1e-7, name=None):
        if not epsilon > 0:
            raise ValueError(f"NormalizedGradients expects a positive epsilon; received {epsilon!r}.")
        wrapped = optimizer.optimizer if isinstance(optimizer, NormalizedGradients) else optimizer
        try:
            wrapped = keras.optimizers.get(wrapped)
        except ValueError:
            wrapped = None
        if wrapped is None:
            raise ValueError(f"NormalizedGradients expects a Keras optimizer or its name ('adam'); got {optimizer!r}.")
        if isinstance(wrapped, keras.optimizers.LossScaleOptimizer) or wrapped.loss_scale_factor is not None:
            raise ValueError(
                f"{type(wrapped).__name__} would undo a scale of the loss that normalized gradients do not have: leave "
                "loss_scale_factor None, and wrap as LossScaleOptimizer(NormalizedGradients(optimizer))."
            )
        super().__init__(learning_rate=0.0, name=name)  # required, and not used: the wrapped optimizer has its own
        self.optimizer, self.epsilon = wrapped, epsilon

    def build(self, variables):
        self.optimizer.build(variables)
        super().build(variables)

    def apply(self, grads, trainable_variables=None):
        if not self.built and trainable_variables is not None:
            self.build(list(trainable_variables))
        variables = self._trainable_variables if trainable_variables is None else trainable_variables
        normalized = [self._normalize(g, v) for g, v in zip(grads, variables, strict=True)]
        self.optimizer.apply(normalized, trainable_variables)

    def _normalize(self, g, variable):
        if g is None:
            return None
        g = ops.reshape(g, variable.shape)  # dense: an embedding's rows that a batch repeats are summed
        return g / (ops.sqrt(ops.sum(ops.square(g))) + self.epsilon)

    # ---------------------------------------------------------------- the state is the wrapped optimizer's

    @property
    def variables(self):
        return self.optimizer.variables

    @property
    def iterations(self):
        return self.optimizer.iterations

    @property
    def learning_rate(self):
        return self.optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self.optimizer.learning_rate = value

    def set_weights(self, weights):
        self.optimizer.set_weights(weights)

    def finalize_variable_values(self, var_list):
        self.optimizer.finalize_variable_values(var_list)

    def save_own_variables(self, store):
        pass  # Keras saves the wrapped optimizer as a part of this one

    def load_own_variables(self, store):
        pass

    def get_config(self):
        optimizer = keras.saving.serialize_keras_object(self.optimizer)
        return {"optimizer": optimizer, "epsilon": self.epsilon, "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        optimizer = keras.saving.deserialize_keras_object(config["optimizer"], custom_objects)
        return cls(**{**config, "optimizer": optimizer})
