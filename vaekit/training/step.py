"""Where a weight changes: one step of training, and one of evaluation."""

import keras
from keras import ops

from vaekit import backend


def train(model, batch):
    """Takes one training step: the loss of a batch `[B, ...]`, its gradient, and the optimizer's update of the weights.

    Args:
        model: a compiled `LatentVariableModel`.
        batch: tensors `[B, ...]`, as the objective takes them.
    """
    weights = model.trainable_variables
    _, gradient = backend.variables_gradient(lambda: model.optimizer.scale_loss(loss(model, batch, True)), weights)
    backend.apply_gradient(model.optimizer, gradient, weights, model.jit_compile or not model.chosen("jit_compile"))


def evaluate(model, batch):
    """Measures the objective's terms on a batch `[B, ...]`; no weight changes."""
    loss(model, batch, False)


def loss(model, batch, training):
    """The objective's mean over a batch, a scalar in nats; its terms go to the model's metrics."""
    value = model.compute_loss(batch, training=training)
    model._loss_tracker.update_state(value, sample_weight=ops.shape(keras.tree.flatten(batch)[0])[0])
    return value
