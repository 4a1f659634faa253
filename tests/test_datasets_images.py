"""The papers' image data sets: small files of the same format parsed as the papers' own, and those that are here."""

import hashlib
import io
import os
import pickle
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from test_datasets import check, summary

from vaekit import cli, datasets
from vaekit.batches import DynamicBinarization
from vaekit.datasets import (
    DatasetError,
    Splits,
    caltech101_silhouettes,
    cifar10,
    cifar10_jpeg,
    histopathology,
    omniglot,
    omniglot_rebuilt,
    svhn,
)

pytestmark = pytest.mark.once

needs_mirror = pytest.mark.skipif(
    not os.environ.get("VAEKIT_DATA"), reason="VAEKIT_DATA names no mirror directory with the papers' data files"
)
rng = np.random.default_rng(0)


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """`publish(module, attribute, *contents)`: small files instead of a module's own, in a mirror directory."""
    monkeypatch.setenv("VAEKIT_DATA", str(tmp_path))
    monkeypatch.setenv("VAEKIT_CACHE", str(tmp_path / "cache"))

    def put(module, attribute, *contents):
        records = getattr(module, attribute)
        several = isinstance(records, tuple)
        small = []
        for file, content in zip(records if several else [records], contents, strict=True):
            (tmp_path / file.name).write_bytes(content)
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            known = {"git_blob": blob} if file.git_blob else {}
            if file.sha256:
                known["sha256"] = hashlib.sha256(content).hexdigest()
            small.append(replace(file, **known))
        monkeypatch.setattr(module, attribute, tuple(small) if several else small[0])

    return put


def mat(**arrays):
    stream = io.BytesIO()
    savemat(stream, arrays)
    return stream.getvalue()


def tar(**contents):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def jpeg(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "JPEG", quality=100, subsampling=0)
    return stream.getvalue()


def as_bytes(x):
    k = np.rint(np.asarray(x) * 255)
    np.testing.assert_allclose(k / 255, x, rtol=1e-6)
    return k.astype("uint8")


def gathered(splits):
    return np.concatenate([np.asarray(x) for x in splits])


# OMNIGLOT


def column_major(images):
    """`[784, N]`, each image's pixels column by column, as MATLAB keeps them."""
    return np.stack([image.ravel(order="F") for image in images], axis=1)


def chardata():
    images, test = rng.random((30, 28, 28)), rng.random((8, 28, 28))
    alphabets = np.arange(38) % 3
    numbers = 1 + np.arange(38) % 2  # within the alphabet
    one_hot = np.eye(3)[alphabets].T
    content = mat(
        data=column_major(images),
        testdata=column_major(test),
        target=one_hot[:, :30],
        testtarget=one_hot[:, 30:],
        targetchar=numbers[None, :30].astype(float),
        testtargetchar=numbers[None, 30:].astype(float),
    )
    return content, images, test, alphabets, 2 * alphabets + numbers - 1


def test_omniglot_is_parsed_as_published(publish):
    content, images, test, alphabets, characters = chardata()
    publish(omniglot, "CHARDATA", content)
    for labels, expected in (("character", characters), ("alphabet", alphabets)):
        data = datasets.load("omniglot", validation=5, labels=labels)
        check(data, (25, 5, 8), (28, 28, 1))
        np.testing.assert_allclose(data.test[..., 0], test, rtol=1e-6)
        np.testing.assert_array_equal(data.labels.test, expected[30:])
        x = np.concatenate([data.train, data.validation])[..., 0]
        order = [int(np.abs(images - image).mean(axis=(1, 2)).argmin()) for image in x]  # where each image was
        assert sorted(order) == list(range(30)) != order
        np.testing.assert_allclose(x, images[order], rtol=1e-6)
        np.testing.assert_array_equal(np.concatenate(data.labels[:2]), expected[order])
    again, other = (datasets.load("omniglot", validation=5, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(again.train, data.train)
    assert (other.train != data.train).any() and (other.test == data.test).all()
    with pytest.raises(ValueError, match="labels to be one of character, alphabet; received 'alphabets'"):
        datasets.load("omniglot", validation=5, labels="alphabets")
    with pytest.raises(ValueError, match="0 <= validation < 30 held-out images, received 1345"):
        datasets.load("omniglot")


def test_dynamic_omniglot_is_omniglot_binarized(publish):
    publish(omniglot, "CHARDATA", chardata()[0])
    grey, binary = (datasets.load(name, validation=5) for name in ("omniglot", "dynamic_omniglot"))
    check(binary, (25, 5, 8), (28, 28, 1))
    assert isinstance(binary.train, DynamicBinarization)
    np.testing.assert_array_equal(binary.train.probabilities, grey.train)
    np.testing.assert_array_equal(gathered(binary.labels), gathered(grey.labels))
    assert set(np.unique(binary.test)) == {0, 1}
    assert grey.title == "OMNIGLOT" and binary.title == "dynamic OMNIGLOT"


def test_omniglot_rebuilt_says_that_it_is_rebuilt(publish, tmp_path):
    with pytest.raises(DatasetError, match="omniglot28_rebuilt.npz' is not here and has no public address"):
        datasets.load("omniglot_rebuilt")
    arrays = {"train": rng.integers(0, 256, (6, 28, 28), "uint8"), "test": rng.integers(0, 256, (3, 28, 28), "uint8")}
    for part, n in (("train", 6), ("test", 3)):
        arrays[f"{part}_character"] = np.arange(1, n + 1, dtype="int16")
        arrays[f"{part}_alphabet"] = np.arange(n, dtype="int16") % 2
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    publish(omniglot_rebuilt, "REBUILT", stream.getvalue())
    data = datasets.load("omniglot_rebuilt", validation=2)
    check(data, (4, 2, 3), (28, 28, 1))
    np.testing.assert_array_equal(as_bytes(data.test)[..., 0], arrays["test"])
    characters = np.concatenate(data.labels[:2])
    np.testing.assert_array_equal(
        as_bytes(np.concatenate([data.train, data.validation]))[..., 0], arrays["train"][characters]
    )
    binary = datasets.load("dynamic_omniglot_rebuilt", validation=2, labels="alphabet")
    np.testing.assert_array_equal(binary.labels.test, [0, 1, 0])
    for title in (data.title, binary.title):
        assert "OMNIGLOT (rebuilt)" in title


# Silhouettes, tissue


def test_caltech_silhouettes_are_parsed_as_published(publish):
    images = Splits(*(rng.integers(0, 2, (n, 28, 28), "uint8") for n in (5, 3, 2)))
    arrays = {}
    for part, x in zip(("train", "val", "test"), images, strict=True):
        arrays[f"{part}_data"] = column_major(x).T
        arrays[f"{part}_labels"] = np.arange(1, len(x) + 1, dtype="uint8")[:, None]
    publish(caltech101_silhouettes, "SILHOUETTES", mat(**arrays))
    data = datasets.load("caltech101_silhouettes")
    check(data, (5, 3, 2), (28, 28, 1))
    for split, x in zip(Splits._fields, images, strict=True):
        np.testing.assert_array_equal(getattr(data, split)[..., 0], 1 - x)
        np.testing.assert_array_equal(getattr(data.labels, split), range(len(x)))


def patches(scale=1.0, drop=None):
    pickled = {part: [scale * rng.random((28, 28))] * n for part, n in (("training", 6800), ("validation", 2000))}
    pickled["test"] = [np.full((28, 28), k / 255) for k in range(256)] + [np.zeros((28, 28))] * 1744
    pickled.pop(drop, None)
    return pickle.dumps(pickled, protocol=4)


def tissue(pickled):
    return tar(**{"._histopathology.pkl": b"of macOS", "histopathology.pkl": pickled})


def test_histopathology_is_parsed_as_published(publish):
    publish(histopathology, "HISTOPATHOLOGY", tissue(patches()))
    with pytest.warns(UserWarning, match="no checksum of 'histopathology.pkl.tar.gz'"):
        data = datasets.load("histopathology")
    check(data, (6800, 2000, 2000), (28, 28, 1))
    np.testing.assert_array_equal(data.test[:256, 3, 4, 0] * 256 - 0.5, range(256))  # k/255 and (k + 0.5)/256 are one k
    assert "not verified" in data.description


@pytest.mark.filterwarnings("ignore:vaekit knows no checksum")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a log-in page", "Not a gzipped file"),
        (tar(other=b""), "'histopathology.pkl' not found"),
        (tissue(patches()[:9999]), "truncated"),
        (tissue(patches(drop="test")), "'test'"),
        (tissue(patches(scale=255)), "values in"),
        (tissue(pickle.dumps(dict.fromkeys(["training", "validation", "test"], np.ones(3)))), "(3,)"),
    ],
    ids=["page", "empty", "truncated", "split", "values", "shape"],
)
def test_histopathology_file_that_is_another_is_explained(publish, content, reason):
    publish(histopathology, "HISTOPATHOLOGY", content)
    with pytest.raises(DatasetError) as caught:
        datasets.load("histopathology")
    assert reason in str(caught.value) and "Remove it from the mirror or the cache" in str(caught.value)


# Colour


def test_cifar10_is_parsed_as_published(publish):
    images = rng.integers(0, 256, (6, 2, 32, 32, 3), "uint8")  # [batch, N, 32, 32, 3]
    labels = rng.integers(0, 10, (6, 2))
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    batches = {}
    for name, x, y in zip(names, images, labels, strict=True):
        rows = np.stack([np.concatenate([image[..., c].ravel() for c in range(3)]) for image in x])  # red, green, blue
        batch = {"data": rows, "labels": y.tolist(), "batch_label": name, "filenames": ["a.png", "b.png"]}
        batches[f"cifar-10-batches-py/{name}"] = pickle.dumps(batch, protocol=4)
    publish(cifar10, "CIFAR10", tar(**batches))
    data = datasets.load("cifar10", validation=3)
    check(data, (7, 3, 2), (32, 32, 3))
    x = gathered([data.train, data.validation, data.test])
    np.testing.assert_array_equal(as_bytes(x), images.reshape(12, 32, 32, 3))
    np.testing.assert_array_equal(gathered(data.labels), labels.ravel())
    assert data.train.flags.c_contiguous


def test_cifar10_jpeg_says_that_it_is_jpeg(publish):
    with pytest.raises(DatasetError, match="cifar10_jpeg_train10k.zip' is not here and has no public address"):
        datasets.load("cifar10_jpeg")
    contents, grey = [], {}
    for part, n in (("train", 3), ("test", 1)):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for label, name in enumerate(cifar10_jpeg.CLASSES):
                for i in range(n):
                    grey[part, label, i] = 20 * label + 5 * i
                    content = jpeg(np.full((32, 32, 3), grey[part, label, i], "uint8"))
                    archive.writestr(f"{part}/{name}/{i:04d}.jpg", content)
        contents.append(stream.getvalue())
    publish(cifar10_jpeg, "FILES", *contents)
    data = datasets.load("cifar10_jpeg", validation=10)
    check(data, (20, 10, 10), (32, 32, 3))
    assert data.title == "CIFAR-10 (JPEG)" and "JPEG" in data.description
    np.testing.assert_array_equal(as_bytes(data.test)[:, 0, 0, 0], 20 * np.arange(10))
    np.testing.assert_array_equal(data.labels.test, range(10))
    values = as_bytes(np.concatenate([data.train, data.validation]))[:, 31, 31, 2]
    np.testing.assert_array_equal(values // 20, np.concatenate(data.labels[:2]))
    assert sorted(values) == sorted(v for (part, *_), v in grey.items() if part == "train") != values.tolist()


def test_svhn_is_parsed_as_published(publish):
    images = [rng.integers(0, 256, (n, 32, 32, 3), "uint8") for n in (10, 3)]
    labels = [np.array([10, *range(1, 10)], "uint8"), np.array([3, 10, 1], "uint8")]
    publish(svhn, "FILES", *(mat(X=x.transpose(1, 2, 3, 0), y=y[:, None]) for x, y in zip(images, labels, strict=True)))
    data = datasets.load("svhn", validation=4)
    check(data, (6, 4, 3), (32, 32, 3))
    np.testing.assert_array_equal(as_bytes(np.concatenate([data.train, data.validation])), images[0])
    np.testing.assert_array_equal(as_bytes(data.test), images[1])
    np.testing.assert_array_equal(gathered(data.labels), [*range(10), 3, 0, 1])
    assert data.train.flags.c_contiguous


# CelebA


@pytest.fixture
def faces(tmp_path):
    """A folder with ten faces of 178×218 pixels: frame red, central 148×148 pixels of one grey value each."""
    folder = tmp_path / "celeba" / "img_align_celeba"
    folder.mkdir(parents=True)
    for i in range(10):
        image = np.zeros((218, 178, 3), "uint8")
        image[..., 0] = 255
        image[35:183, 15:163] = 20 * i
        (folder / f"{i + 1:06d}.jpg").write_bytes(jpeg(image))
    return folder


@pytest.mark.parametrize("size", [32, np.int64(64)])
def test_celeba_crops_and_resizes(faces, size):
    data = datasets.load("celeba", folder=faces.parent, size=size)
    check(data, (8, 1, 1), (size, size, 3))
    centre = gathered([data.train, data.validation, data.test])[:, 2:-2, 2:-2]  # JPEG blurs the edge of the frame
    np.testing.assert_allclose(
        centre * 255, np.broadcast_to(20 * np.arange(10)[:, None, None, None], centre.shape), atol=2
    )
    assert data.title == f"CelebA {size}×{size}" and "80:10:10" in data.description


def test_celeba_keeps_the_official_split(faces):
    parts = [2, 0, 0, 1, 0, 1, 2, 0, 2, 0]
    lines = [f"{i + 1:06d}.jpg {part}" for i, part in enumerate(parts)]
    for home in (faces.parent, faces):
        (faces.parent / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")
        data = datasets.load("celeba", folder=home)
        check(data, (5, 2, 3), (32, 32, 3))
        for part, split in enumerate(Splits._fields):
            greys = np.rint(getattr(data, split)[:, 16, 16, 0] * 255 / 20)
            np.testing.assert_array_equal(greys, [i for i, where in enumerate(parts) if where == part])
    assert "list_eval_partition.txt" in data.description
    few = datasets.load("celeba", folder=faces, limit=np.int64(2))
    check(few, (2, 2, 2), (32, 32, 3))
    assert "the first 2 images of each" in few.description


def test_celeba_explains_what_it_misses(faces, monkeypatch):
    for folder in (None, faces / "nowhere"):
        with pytest.raises(DatasetError, match="folder=.*expects a folder.*img_align_celeba.zip"):
            datasets.load("celeba", folder=folder)
    with pytest.raises(ValueError, match="1 <= size <= 148 pixels, such as 32 or 64; received 218"):
        datasets.load("celeba", folder=faces, size=218)
    with pytest.raises(ValueError, match="limit of at least 1 image a split, or None; received 0"):
        datasets.load("celeba", folder=faces, limit=0)
    (faces / "list_eval_partition.txt").write_text("000001.jpg 0\n999999.jpg 1\n")
    with pytest.raises(DatasetError, match="names 2 images.*lacks 1 of them, as '999999.jpg'"):
        datasets.load("celeba", folder=faces)
    (faces / "list_eval_partition.txt").write_text("000001.jpg train\n")
    with pytest.raises(DatasetError, match="lines such as '000001.jpg 0'"):
        datasets.load("celeba", folder=faces)
    (faces / "list_eval_partition.txt").unlink()
    (faces / "000001.jpg").write_bytes(jpeg(np.zeros((64, 64, 3), "uint8")))
    with pytest.raises(DatasetError, match="has 64×64 pixels; celeba expects the aligned 178×218"):
        datasets.load("celeba", folder=faces)
    (faces / "000001.jpg").write_bytes(b"damaged")
    with pytest.raises(DatasetError, match="000001.jpg' is no image that can be read"):
        datasets.load("celeba", folder=faces)
    (faces.parent / "empty").mkdir()
    with pytest.raises(DatasetError, match="expects 10 aligned .jpg images or more; .* has 0"):
        datasets.load("celeba", folder=faces.parent / "empty")


# The command, the papers' own files


def test_command_explains_data_that_it_cannot_download(publish):
    from typer.testing import CliRunner

    for name, way_out in (("celeba", "folder=..."), ("bair", "folder=..."), ("omniglot_rebuilt", "VAEKIT_DATA")):
        result = CliRunner().invoke(cli.app, ["data", name])
        assert result.exit_code == 1 and way_out in result.output


@needs_mirror
@pytest.mark.parametrize(
    ("name", "title", "sizes", "event_shape", "classes"),
    [
        ("caltech101_silhouettes", "Caltech 101 Silhouettes", (4100, 2264, 2307), (28, 28, 1), 101),
        ("omniglot_rebuilt", "OMNIGLOT (rebuilt)", (23_000, 1345, 8115), (28, 28, 1), 1623),
        ("dynamic_omniglot_rebuilt", "dynamic OMNIGLOT (rebuilt)", (23_000, 1345, 8115), (28, 28, 1), 1623),
        ("cifar10_jpeg", "CIFAR-10 (JPEG)", (9000, 1000, 10_000), (32, 32, 3), 10),
    ],
)
def test_the_papers_own_files(name, title, sizes, event_shape, classes):
    data = datasets.load(name)
    check(data, sizes, event_shape)
    assert data.title == title
    if not name.startswith("dynamic"):
        assert f" {'/'.join(map(str, sizes))}" in summary(name)
    assert set(data.labels.test) == set(data.labels.train) == set(range(classes))
    if data.event_shape[-1] == 1:  # white on black: the object in the middle, nothing at the edge
        x = data.test[..., 0]
        assert x[:, [0, -1]].mean() < 0.5 * x[:, 12:16, 12:16].mean()
    if name == "caltech101_silhouettes":
        assert set(np.unique(data.train)) == {0, 1}
        faces = data.train[data.labels.train == 1, :, :, 0].mean(axis=0)  # upright: taller than wide
        assert (faces.mean(axis=1) > 0.5).sum() >= (faces.mean(axis=0) > 0.5).sum()
