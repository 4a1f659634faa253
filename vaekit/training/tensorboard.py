"""Figures of a model in TensorBoard, while it trains."""

import importlib.util
import io
import struct

import keras

from vaekit.batches import check_counts


class TensorBoardFigures(keras.callbacks.Callback):
    """A callback that shows in TensorBoard what a model draws after each epoch.

    ```python
    figures = {"samples": lambda model: vk.plotting.image_grid(model.sample(16, mean=True, seed=0))}
    vae.fit(x, epochs=20, callbacks=[vk.training.TensorBoardFigures("runs/first", figures)])
    ```

    `tensorboard --logdir runs` shows the figures, one for each epoch, with a slider; TensorBoard is a package of its
    own. For the curves of bound and KL, `keras.callbacks.TensorBoard("runs/first")` goes into the same list.

    Args:
        folder: of the files of one run.
        figures: dict by title of functions of the model that return a matplotlib figure.
        every: epochs from one to the next; the last epoch has figures, too, also of a training that ends early.

    Raises:
        ValueError: what is no dict of functions; when called, a function that returns no figure.
        ImportError: without TensorFlow, which writes the files, whatever the backend.
    """

    def __init__(self, folder, figures, every=1):
        super().__init__()
        if not isinstance(figures, dict) or not figures or not all(map(callable, figures.values())):
            raise ValueError(
                "TensorBoardFigures expects figures as a dict of functions of the model by title, "
                f'{{"samples": lambda model: ...}}; received {figures!r}.'
            )
        check_counts("TensorBoardFigures", every=every)
        if importlib.util.find_spec("tensorflow") is None:
            raise ImportError("TensorBoardFigures writes its files by TensorFlow: pip install tensorflow.")
        self.folder, self.figures, self.every, self._writer = str(folder), dict(figures), int(every), None
        self._due = None  # the last epoch, while it has no figures

    def on_epoch_end(self, epoch, logs=None):
        self._due = epoch + 1
        if self._due % self.every == 0:
            self._write()

    def on_train_end(self, logs=None):
        if self._due is not None:
            self._write()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self):
        """Writes all figures of the epoch that is due, as PNG."""
        import tensorflow as tf

        if self._writer is None:
            self._writer = tf.summary.create_file_writer(self.folder)
        # as tf.summary.image does, for which TensorBoard would have to be installed here, too
        metadata = tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_BLOB_SEQUENCE")
        metadata.plugin_data.plugin_name = "images"
        with self._writer.as_default():
            for title, draw in self.figures.items():
                png, (width, height) = _png(title, draw(self.model))
                tf.summary.write(title, tf.constant([b"%d" % width, b"%d" % height, png]), self._due, metadata)
        self._writer.flush()
        self._due = None


def _png(title, figure):
    """A matplotlib figure as PNG, and its size in pixels."""
    if not hasattr(figure, "savefig"):
        raise ValueError(
            f"TensorBoardFigures expects a matplotlib figure from the function of {title!r}, as vaekit.plotting makes "
            f"them, image_grid(model.sample(16)) say; received {type(figure).__name__}."
        )
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    png = stream.getvalue()
    return png, struct.unpack(">II", png[16:24])
