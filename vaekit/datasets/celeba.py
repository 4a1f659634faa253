"""`celeba`: photographs of faces, aligned, from a folder on your machine."""

from numbers import Integral
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from .files import DatasetError
from .registry import Splits, register, sizes

PARTITION = "list_eval_partition.txt"
CROP = 148  # pixels of the 218×178 images


def find_images(folder):
    """`Splits` of paths, and how they were split, in words."""
    images = folder / "img_align_celeba" if (folder / "img_align_celeba").is_dir() else folder
    paths = {path.name: path for path in sorted(images.glob("*.jpg"))}
    if len(paths) < 10:
        raise DatasetError(f"celeba expects 10 aligned .jpg images or more; {str(images)!r} has {len(paths)}.")
    for place in (folder, folder.parent):
        if (place / PARTITION).is_file():
            break
    else:
        cuts = (8 * len(paths) // 10, 9 * len(paths) // 10)
        names = list(paths)
        return Splits(*([paths[n] for n in part] for part in np.split(names, cuts))), "80:10:10 in the order of names"
    parts = [line.split() for line in (place / PARTITION).read_text().splitlines() if line.strip()]
    if any(len(part) != 2 or part[1] not in ("0", "1", "2") for part in parts):
        raise DatasetError(
            f"{str(place / PARTITION)!r} should have lines such as '000001.jpg 0', with 0, 1 or 2 for train, "
            "validation and test. Fetch it anew."
        )
    if missing := [name for name, _ in parts if name not in paths]:
        raise DatasetError(
            f"{PARTITION} names {len(parts)} images, {str(images)!r} lacks {len(missing)} of them, as {missing[0]!r}. "
            "Unpack img_align_celeba.zip anew, or move the list away to split the images that are there."
        )
    return Splits(*([paths[name] for name, part in parts if part == which] for which in "012")), f"by {PARTITION}"


def decode(paths, size):
    """float32 `[N, size, size, 3]` in [0, 1], filled image by image: the bytes never lie in memory twice."""
    x = np.empty((len(paths), size, size, 3), "float32")
    for row, path in zip(x, tqdm(paths, desc="celeba", leave=False), strict=True):
        try:
            image = Image.open(path).convert("RGB")
        except OSError as error:
            raise DatasetError(f"{str(path)!r} is no image that can be read. Unpack it anew.") from error
        left, top = (image.width - CROP) // 2, (image.height - CROP) // 2
        if min(left, top) < 0:
            raise DatasetError(
                f"{str(path)!r} has {image.width}×{image.height} pixels; celeba expects the aligned 178×218 images of "
                "img_align_celeba.zip."
            )
        box = (left, top, left + CROP, top + CROP)
        row[...] = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box)) / np.float32(255)
    return x


@register("celeba", None)
def celeba(folder=None, size=32, limit=None):
    """Aligned colour photographs of faces, 32×32 unless asked, 162770/19867/19962, in a folder of yours.

    The central 148×148 pixels are resized to `size`×`size` (antialiased, bilinear), values/255 in [0, 1].
    `folder` holds the aligned images, itself or in img_align_celeba/, and the list of the official split,
    list_eval_partition.txt, there or beside it. All of CelebA is 2.5 GB at 32×32 and 10 GB at 64×64; `limit` takes
    only so many images of each split.
    """
    if folder is None or not Path(folder).expanduser().is_dir():
        raise DatasetError(
            f'load("celeba", folder=...) expects a folder with the aligned images, received {str(folder)!r}. Fetch '
            f"img_align_celeba.zip and {PARTITION} from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html and unpack."
        )
    if not (isinstance(size, Integral) and 1 <= size <= CROP):
        raise ValueError(f"celeba expects 1 <= size <= {CROP} pixels, such as 32 or 64; received {size!r}.")
    if limit is not None and not (isinstance(limit, Integral) and limit >= 1):
        raise ValueError(f"celeba expects a limit of at least 1 image a split, or None; received {limit!r}.")
    paths, how = find_images(Path(folder).expanduser())
    splits = Splits(*(decode(part[:limit], size) for part in paths))._asdict()
    return {
        "title": f"CelebA {size}×{size}",
        **splits,
        "labels": None,
        "description": f"Aligned colour photographs of faces, the central 148×148 pixels resized to {size}×{size}, "
        f"values/255. Split {sizes(splits)}, {how}" + (f", the first {limit} images of each." if limit else "."),
        "source": "Liu, Luo, Wang & Tang 2015; https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    }
