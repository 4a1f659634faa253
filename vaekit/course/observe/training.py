"""Observes models that an answer trains."""

import keras
import numpy as np

from vaekit.course.observe.values import LARGEST, Wrong, by_name, callable_or_wrong, described, plain

_ENCODER = {}  # between the calls of one answer


def trained_vae(answer, inputs, parts=(), most=LARGEST):
    """Trains a VAE, and then calls its encoder: two calls, one after the other, in one process.

    The first call, with a `seed`, trains: `answer(images, seed)` returns a function `encode` and the decoder as
    arrays, of which these come back. The second one, without, hands images to `encode`, and its "mean" and
    "log_variance" come back, and "again", the first image's mean in another call. So the decoder has left this process
    before it sees the second call's images.

    Args:
        answer: function of (images, seed); returns (encode, decoder), the decoder a dict of arrays.
        inputs: dict of `images`, `[N, D]`, and, in the first call, `seed`, an int.
        parts: names of the decoder's arrays.
        most: numbers that these may hold together.
    """
    images = inputs["images"]
    if "seed" not in inputs:
        if "encode" not in _ENCODER:
            raise Wrong("there is no encoder: training did not end well.")
        encode, x = _ENCODER.pop("encode"), keras.ops.convert_to_tensor(_single(images))
        codes, again = (by_name(encode(x), ("mean", "log_variance")) for _ in range(2))
        first, second = (plain(each["mean"]) for each in (codes, again))
        if first.shape == second.shape and not np.allclose(first, second, rtol=1e-3, atol=1e-3, equal_nan=True):
            raise Wrong(r"`encode` gave two different means for the same images. Does it return a draw of z for $\mu$?")
        return codes
    _ENCODER.clear()
    returned = by_name(callable_or_wrong(answer)(_single(images), inputs["seed"]), ("encode", "decoder"))
    decoder = returned["decoder"]
    if not (isinstance(decoder, dict) and set(decoder) == set(parts)):
        came = f"the keys {', '.join(map(str, decoder))}" if isinstance(decoder, dict) else described(decoder)
        raise Wrong(f"the decoder should be a dict with the keys {', '.join(parts)}; received {came}.")
    arrays = {name: plain(decoder[name]) for name in parts}
    if (size := sum(array.size for array in arrays.values())) > most:
        raise Wrong(f"the decoder holds {size:,} numbers; {most:,} are allowed.")
    _ENCODER["encode"] = callable_or_wrong(returned["encode"])
    return arrays


def _single(data):
    """Images in float32; tokens, whole numbers, as they are."""
    return data.astype("float32" if data.dtype.kind == "f" else "int32")
