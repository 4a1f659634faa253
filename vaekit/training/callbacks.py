"""Callbacks of `fit` and `evaluate`."""

import keras

from vaekit.training.progress import Progress


def with_progress(callbacks, verbose, prefix=""):
    """Returns a list of callbacks, with one that shows progress unless `verbose` is 0."""
    if isinstance(callbacks, keras.callbacks.CallbackList):  # Keras evaluates within fit: its bar is there already
        return callbacks
    callbacks = list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []
    return [*callbacks, Progress(verbose == 2, prefix)] if verbose else callbacks


def listens(callback, kind):
    """Returns whether a callback has hooks for every batch of `kind` "train" or "test", not for epochs alone."""
    hooks = [f"on_{prefix}batch_{when}" for prefix in ("", f"{kind}_") for when in ("begin", "end")]
    inherited = all(
        getattr(getattr(callback, hook), "__func__", None) is getattr(keras.callbacks.Callback, hook) for hook in hooks
    )
    # ModelCheckpoint and BackupAndRestore, TensorBoard
    epochs = "epoch" in (getattr(callback, "save_freq", None), getattr(callback, "update_freq", None))
    return not (inherited or epochs or isinstance(callback, Progress))
