"""Callbacks as `fit` and `evaluate` are given them."""

import keras

from vaekit.training.progress import Progress


def with_progress(callbacks, verbose, prefix=""):
    """A list of callbacks, with one that shows progress if it is to be seen."""
    if isinstance(callbacks, keras.callbacks.CallbackList):  # Keras evaluates within fit: its bar is there already
        return callbacks
    callbacks = list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []
    return [*callbacks, Progress(verbose == 2, prefix)] if verbose else callbacks


def listens(callback, kind):
    """Whether a callback wants to know of every batch of `kind` "train" or "test", not of epochs or programs alone."""
    hooks = [f"on_{prefix}batch_{when}" for prefix in ("", f"{kind}_") for when in ("begin", "end")]
    known = all(
        getattr(getattr(callback, hook), "__func__", None) is getattr(keras.callbacks.Callback, hook) for hook in hooks
    )
    # ModelCheckpoint and BackupAndRestore, TensorBoard
    epochs = "epoch" in (getattr(callback, "save_freq", None), getattr(callback, "update_freq", None))
    return not (known or epochs or isinstance(callback, Progress))
