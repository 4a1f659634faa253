"""Minibatches of sequences that are about equally long."""

import numpy as np
from keras import ops

from vaekit import backend
from vaekit.batches.arrays import as_array, check_counts
from vaekit.batches.minibatches import UNNAMED, Batches, bare, device_array
from vaekit.marks import PADDING


class BatchesByLength(Batches):
    """Minibatches of sequences that are about equally long, without the padding that none of them needs.

    ```python
    vae.fit(BatchesByLength(text.train, 32), validation_data=BatchesByLength(text.validation, shuffle=False))
    ```

    An encoder has to leave padding out, by `Embedding(..., mask_zero=True)`: one that reads it as a word gives a
    sentence other codes in longer batches.

    Args:
        data: tokens `[N, T]`, words, then padding; or a dict of arrays, of which `tokens` is these.
        batch_size: rows a batch; the last one of each length may be smaller, with `full` only the last one of all.
        shuffle: new batches of each length in every epoch, and a new order of all.
        seed: as for `Batches`.
        multiple: lengths are rounded up to multiples of this number: on JAX each shape of a batch compiles a program;
            1: none of a batch's sequences is shorter than others.
        full: whether a batch that would be smaller takes sequences of the next length: fewer shapes.
        fixed: whether the same sequences share a batch in every epoch; the order of batches is new.
        tokens: the name of the tokens in a dict.
        padding: its number.
    """

    def __init__(
        self,
        data,
        batch_size=100,
        shuffle=True,
        seed=0,
        multiple=8,
        fixed=False,
        tokens=UNNAMED,
        padding=PADDING,
        full=False,
    ):
        check_counts("BatchesByLength", multiple=multiple)
        if isinstance(data, dict) and tokens not in data:
            raise ValueError(f"BatchesByLength expects the name of the tokens in {list(data)}; received {tokens!r}.")
        sequences = as_array("x", data[tokens] if isinstance(data, dict) else data)
        if sequences.ndim != 2:
            raise ValueError(f"BatchesByLength expects tokens [N, T]; received the shape {list(sequences.shape)}.")
        lengths = np.count_nonzero(sequences != padding, axis=1)
        self.widths = np.minimum(-(-lengths // multiple) * multiple, sequences.shape[1]).clip(1)  # [N]
        self.multiple, self.fixed, self.full, self.tokens, self.padding = multiple, fixed, full, tokens, padding
        super().__init__(data, batch_size, shuffle, seed)

    def _new_order(self):
        rng = np.random.default_rng([*self.seed, self.epoch, 0])
        order = rng.permutation(self.length) if self.shuffle and not self.fixed else np.arange(self.length)
        order = order[np.argsort(self.widths[order], kind="stable")]
        groups = [order] if self.full else np.split(order, np.flatnonzero(np.diff(self.widths[order])) + 1)  # by width
        self.parts = [group[i : i + self.batch_size] for group in groups for i in range(0, len(group), self.batch_size)]
        if self.shuffle:
            self.parts = [self.parts[i] for i in rng.permutation(len(self.parts))]
        return np.concatenate(self.parts)

    def __len__(self):
        return len(self.parts)

    def __getitem__(self, i):
        return (bare(self._rows(self.parts[i])),)

    def _rows(self, index):
        rows = {name: np.asarray(array[index]) for name, array in self.arrays.items()}
        return {**rows, self.tokens: rows[self.tokens][:, : self.widths[index].max()]}

    def chunks(self):
        """Yields what `Batches.chunks` does, one batch at a time, with no other rows."""
        keys = np.zeros((1, 2), backend.SEED_DTYPE)  # nothing is drawn
        for index in self.parts:
            rows = {name: ops.convert_to_tensor(device_array(array)) for name, array in self._rows(index).items()}
            yield (rows, {}), np.arange(len(index), dtype="int32")[None], keys
