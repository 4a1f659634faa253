"""Checks of the arguments of `compile` and `fit`."""

import keras
from keras import ops

from vaekit import backend, objectives
from vaekit.batches import Batches
from vaekit.objectives import ELBO, Objective


def checked_objective(optimizer, objective, options):
    """Returns the objective passed to `compile`, the ELBO for None; raises ValueError for anything else."""
    kind = optimizer if isinstance(optimizer, type) else type(optimizer)
    if issubclass(kind, Objective):
        raise ValueError(
            f'The optimizer comes first, the objective by its name: compile("adam", objective={kind.__name__}(...)).'
        )
    if isinstance(objective, type) and issubclass(objective, Objective):
        try:
            objective = objective()
        except TypeError as error:
            raise ValueError(f"{objective.__name__} has settings that must be given: {error}.") from None
    if options.get("loss") is not None or (objective is not None and not isinstance(objective, Objective)):
        wrong = objective if options.get("loss") is None else options["loss"]
        known = {n.lower(): n for n in objectives.__all__ if n not in ("Objective", "WarmUp")}
        name = known.get(str(wrong).lower().replace("_", ""), "ELBO")
        raise ValueError(
            f"A latent variable model is trained by an objective, such as vaekit.objectives.{name}(); got {wrong!r}."
        )
    if options.get("metrics") or options.get("weighted_metrics"):
        raise ValueError("Metrics compare predictions with targets, which a latent variable model has not.")
    return ELBO() if objective is None else objective


def build_loss(model, batches):
    """Runs a subclass's `compute_loss` once: layers that it builds within a compiled program would be lost.

    Raises:
        ValueError: layers that the optimizer, built already, does not know.
    """
    if True in model.step_programs or type(batches) is not Batches:
        return
    before, rows = len(model.trainable_variables), keras.tree.map_structure(lambda v: v[:2], batches[0][0])
    with backend.Scope(initialize_variables=True):
        model.compute_loss(keras.tree.map_structure(ops.convert_to_tensor, rows), training=True)
    if model.optimizer.built and len(model.trainable_variables) > before:
        raise ValueError(
            "compute_loss has built its layers only now: compile the model again, so that the optimizer knows their "
            "weights."
        )


def require_no_weights(method, options):
    """Refuses weights beside the data: `fit` and `evaluate` take them in batches. None is taken out of the options."""
    for name in ("class_weight", "sample_weight"):
        if options.pop(name, None) is not None:
            raise ValueError(
                f"{method} does without {name} here: weights of examples come in batches, (x, None, sample_weight)."
            )


def weights_like(loss, sample_weight):
    """Returns weights of examples, `[B]` or `[B, 1]`, with the loss's shape `[B]` and dtype; refuses other shapes."""
    if len(loss.shape) != 1:
        raise ValueError(f"With sample_weight an objective's loss should have shape [B]; it has {list(loss.shape)}.")
    weights = ops.cast(sample_weight, loss.dtype)
    if len(weights.shape) == 2 and weights.shape[1] == 1:
        weights = ops.squeeze(weights, axis=1)
    if len(weights.shape) > 1:
        raise ValueError(f"sample_weight should have shape [B] or [B, 1]; received {list(sample_weight.shape)}.")
    return weights
