"""`histopathology`: 28×28 grey patches of microscope images of tissue."""

import io
import tarfile
from pathlib import PurePosixPath

import numpy as np

from .files import DatasetError, File, read
from .pickles import unpickle_arrays
from .registry import Splits, register

HISTOPATHOLOGY = File(
    "histopathology.pkl.tar.gz",
    None,
    tuple(
        home + "master/datasets/histopathologyGray/histopathology.pkl.tar.gz"
        for home in (
            "https://github.com/jmtomczak/vae_householder_flow/raw/",
            "https://raw.githubusercontent.com/jmtomczak/vae_householder_flow/",
        )
    ),
)
PICKLE = "histopathology.pkl"
SIZES = Splits(6800, 2000, 2000)


def parse_histopathology(content):
    """`Splits` of k = ⌊256 x⌋ `[N, 28, 28, 1]` from a tar file with a pickle of three lists of patches x in [0, 1]."""
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        name = next((name for name in tar.getnames() if PurePosixPath(name).name == PICKLE), PICKLE)
        pickled = unpickle_arrays(tar.extractfile(name).read())
    patches = Splits(*(np.asarray(pickled[part]) for part in ("training", "validation", "test")))
    if any(x.size != size * 28 * 28 for x, size in zip(patches, SIZES, strict=True)):
        raise ValueError(f"arrays of the shapes {[x.shape for x in patches]}")
    if not all(-1e-6 < x.min() <= x.max() < 1 + 1e-6 for x in patches):
        raise ValueError(f"values in {[(x.min(), x.max()) for x in patches]}")
    return Splits(*(np.clip(np.floor(256 * x), 0, 255).reshape(-1, 28, 28, 1) for x in patches))


@register("histopathology", (HISTOPATHOLOGY,))
def histopathology():
    """28×28 grey patches of microscope images of tissue, 6800/2000/2000.

    Values (k + 0.5)/256 with bytes k = ⌊256 x⌋ of the file's values x in [0, 1].
    vaekit knows no checksum of the file, so it warns, and accepts it where the shapes and values are the expected ones.
    """
    try:
        patches = parse_histopathology(read(HISTOPATHOLOGY))
    except DatasetError:
        raise
    except Exception as error:  # an unverified file can hold anything
        raise DatasetError(
            f"{HISTOPATHOLOGY.name!r} does not hold what was expected, a tar file of a pickle with "
            f"{SIZES.train} training, {SIZES.validation} validation and {SIZES.test} test patches of 28×28 values in "
            f"[0, 1]: {error}. Remove it from the mirror or the cache and fetch it anew."
        ) from error
    return {
        "title": "Histopathology",
        **Splits(*(((k + 0.5) / 256).astype("float32") for k in patches))._asdict(),
        "labels": None,
        "description": "28×28 grey patches of histopathology images, (k + 0.5)/256 for bytes k. "
        f"Split {'/'.join(map(str, SIZES))} by its authors. The file is not verified by a checksum.",
        "source": "Tomczak & Welling 2016; https://github.com/jmtomczak/vae_householder_flow",
    }
