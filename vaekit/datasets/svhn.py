"""`svhn`: 32×32 colour photographs of house numbers, one digit in the middle of each."""

import io

from scipy.io import loadmat

from .files import File, read
from .registry import hold_out, register, sizes, unit_interval


def _file(name, sha256):
    return File(name, sha256, (f"http://ufldl.stanford.edu/housenumbers/{name}",))


FILES = (
    _file("train_32x32.mat", "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8"),
    _file("test_32x32.mat", "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b"),
)


def parse_mat(content):
    """Images `[N, 32, 32, 3]` in [0, 1] and labels `[N]` from X `[32, 32, 3, N]` and y `[N, 1]`, 10 for the digit 0."""
    mat = loadmat(io.BytesIO(content))
    return unit_interval(mat["X"].transpose(3, 0, 1, 2)), mat["y"][:, 0] % 10


@register("svhn", FILES)
def svhn(validation=5000):
    """32×32 colour photographs of house numbers, cropped to digits, 68257/5000/26032.

    Values/255; the last `validation` training images are held out.
    The files are in the order of the houses: neighbours come from one house number, so they are not shuffled first.
    """
    train, test = (parse_mat(read(file)) for file in FILES)
    splits = hold_out(validation, train, test)
    return {
        "title": "SVHN",
        **splits,
        "description": f"32×32 colour photographs of house numbers, cropped to digits, values/255. Split "
        f"{sizes(splits)}, validation from the end of the training file; without the extra images.",
        "source": "Netzer, Wang, Coates, Bissacco, Wu & Ng 2011; http://ufldl.stanford.edu/housenumbers/",
    }
