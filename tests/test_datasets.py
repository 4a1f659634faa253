"""Data sets: splits, values, and every way in which a file can fail to arrive. No test leaves this machine."""

import errno
import gzip
import hashlib
import http.server
import os
import pickle
import threading

import numpy as np
import pooch
import pytest

from vaekit import datasets
from vaekit.batches import DynamicBinarization
from vaekit.datasets import DatasetError, File, Splits, files, frey_faces, mnist, mnist_10k, static_mnist
from vaekit.datasets.bundled import make_mnist_10k
from vaekit.datasets.pickles import unpickle_arrays

pytestmark = pytest.mark.once

CONTENT = b"four score and seven " * 5000
DOWN = "http://127.0.0.1:1/none"  # nothing listens there

needs_mirror = pytest.mark.skipif(
    not os.environ.get("VAEKIT_DATA"), reason="VAEKIT_DATA names no mirror directory with the papers' data files"
)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache directory, and no mirror."""
    monkeypatch.delenv("VAEKIT_DATA", raising=False)
    monkeypatch.setenv("VAEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    return tmp_path / "cache"


@pytest.fixture
def mirror(tmp_path, monkeypatch, cache):
    """An empty mirror directory before an empty cache."""
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("VAEKIT_DATA", str(tmp_path / "mirror"))
    return tmp_path / "mirror"


@pytest.fixture
def serve():
    """`serve(path, content, announced=None)` puts content on a local web server and returns its address."""
    pages = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path not in pages:
                return self.send_error(404)
            content, announced = pages[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(announced or len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def add(path, content, announced=None):
        pages[path] = content, announced
        return f"http://127.0.0.1:{server.server_port}{path}"

    yield add
    server.shutdown()
    server.server_close()


def record(*addresses, name="data.txt", content=CONTENT):
    return File(name, hashlib.sha256(content).hexdigest(), addresses)


def left_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


# The files: mirror, cache, download


def test_download_is_cached_and_served_from_the_cache(cache, serve):
    path = files.fetch(record(serve("/data.txt", CONTENT)))
    assert path == cache / "data.txt" and path.read_bytes() == CONTENT and left_in(cache) == ["data.txt"]
    assert files.fetch(record(DOWN)) == path


def test_second_address_serves_where_the_first_has_nothing(cache, serve):
    good = serve("/data.txt", CONTENT)
    file = record(good.replace("data.txt", "gone"), DOWN, serve("/other", b"a log-in page"), good)
    assert files.read(file) == CONTENT


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (None, "answered 404 Not Found"),
        ((CONTENT[:70_000], len(CONTENT)), "interrupted"),
        ((CONTENT[:70_000],), "wrong checksum"),
        ((b"",), "wrong checksum"),
    ],
)
def test_failed_download_is_explained_and_leaves_nothing(cache, serve, page, reason):
    address = serve("/data.txt", *page) if page else serve("/elsewhere", b"").replace("elsewhere", "data.txt")
    with pytest.raises(DatasetError, match=reason) as caught:
        files.fetch(record(address))
    assert address in str(caught.value) and left_in(cache) == []


def test_no_network_names_every_address_and_the_ways_out(cache):
    with pytest.raises(DatasetError) as caught:
        files.fetch(record(DOWN, DOWN + "2"))
    for part in (f"{DOWN}: no connection", f"{DOWN}2: no connection", "VAEKIT_DATA", 'load("mnist_10k")'):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("content", "blob"),
    [(b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"), (b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a")],
)  # as `git hash-object` prints them
def test_git_blob_id_verifies_where_no_sha256_is_known(mirror, content, blob):
    (mirror / "data.txt.gz").write_bytes(gzip.compress(content))
    assert files.read(File("data.txt", None, (), git_blob=blob)) == content
    (mirror / "data.txt").write_bytes(content + b"!")
    with pytest.raises(DatasetError, match=f"git blob id is [0-9a-f]{{40}}, expected {blob}"):
        files.read(File("data.txt", None, (), git_blob=blob))


def test_file_without_a_known_checksum_is_used_with_a_warning(cache, serve):
    file = File("data.txt", None, (serve("/data.txt", CONTENT),))
    for _ in range(2):  # downloaded, then cached
        with pytest.warns(UserWarning, match=f"no checksum of 'data.txt'.*{hashlib.sha256(CONTENT).hexdigest()}"):
            assert files.read(file) == CONTENT


def test_file_without_an_address_says_where_to_put_it(cache):
    with pytest.raises(DatasetError, match="'data.txt' is not here and has no public address.*VAEKIT_DATA"):
        files.fetch(record())


def test_damaged_cache_file_is_reported_and_replaced(cache, serve):
    cache.mkdir()
    (cache / "data.txt").write_bytes(CONTENT[:-1])
    with pytest.warns(UserWarning, match="data.txt.*is damaged: wrong checksum"):
        path = files.fetch(record(serve("/data.txt", CONTENT)))
    assert path.read_bytes() == CONTENT and left_in(cache) == ["data.txt"]


@pytest.mark.parametrize(
    ("failure", "expected", "message"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt, None),
        (OSError(errno.ENOSPC, "No space left on device"), DatasetError, "the disk is full.*VAEKIT_CACHE"),
        (OSError(errno.EIO, "Input/output error"), DatasetError, "data.txt' cannot be written: Input/output error"),
    ],
)
def test_failure_while_writing_leaves_nothing(cache, monkeypatch, failure, expected, message):
    def write_some(self, address, output, pooch):
        output.write(CONTENT[:99])
        raise failure

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", write_some)
    with pytest.raises(expected, match=message):
        files.fetch(record(DOWN))
    assert left_in(cache) == []


@pytest.mark.parametrize("inside", ["", "deeper"])
def test_unwritable_cache(cache, serve, monkeypatch, inside):
    cache.write_text("a file where the directory should be")
    monkeypatch.setenv("VAEKIT_CACHE", str(cache / inside))
    with pytest.raises(DatasetError, match="data.txt' cannot be written.*VAEKIT_CACHE"):
        files.fetch(record(serve("/data.txt", CONTENT)))


def test_mirror_comes_first_plain_or_gzipped(mirror, cache):
    cache.mkdir()
    (cache / "data.txt").write_bytes(b"never read")
    (mirror / "data.txt.gz").write_bytes(gzip.compress(CONTENT))
    assert files.fetch(record(DOWN)) == mirror / "data.txt.gz" and files.read(record(DOWN)) == CONTENT
    (mirror / "data.txt").write_bytes(CONTENT)
    assert files.fetch(record(DOWN)) == mirror / "data.txt" and files.read(record(DOWN)) == CONTENT


def test_file_that_the_mirror_lacks_comes_from_the_cache(mirror, cache):
    cache.mkdir()
    (cache / "data.txt").write_bytes(CONTENT)
    assert files.fetch(record(DOWN)) == cache / "data.txt"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("data.txt", CONTENT + b"!", "wrong checksum, SHA-256 is"),
        ("data.txt.gz", gzip.compress(CONTENT + b"!"), "wrong checksum, SHA-256 is"),
        ("data.txt.gz", gzip.compress(CONTENT)[:-40], "truncated or damaged gzip"),
        ("data.txt.gz", CONTENT, "truncated or damaged gzip"),
    ],
)
def test_damaged_mirror_file_is_an_error_and_is_not_touched(mirror, cache, name, content, reason):
    (mirror / name).write_bytes(content)
    with pytest.raises(DatasetError, match=f"mirror's file .*{reason}.*VAEKIT_DATA"):
        files.fetch(record(DOWN))
    assert (mirror / name).read_bytes() == content and left_in(cache) == []


def test_mirror_that_does_not_exist(mirror, monkeypatch):
    monkeypatch.setenv("VAEKIT_DATA", str(mirror / "nowhere"))
    for call in (lambda: files.fetch(record(DOWN)), datasets.available):
        with pytest.raises(DatasetError, match="VAEKIT_DATA should name a directory.*nowhere"):
            call()
    assert len(datasets.load("digits").test) == 300  # needs no file
    assert len(datasets.load("mnist_10k").test) == 2000  # which is vaekit's own


PYTHON_2_PICKLE = (
    b"(lp0\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\nI3\ntcnumpy\ndtype\n"
    b"(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x00\\x01\\x02\\x03\\x04\\xff'\ntba."
)


def test_pickled_arrays_are_read():
    array = np.array([[0, 1, 2], [3, 4, 255]], "uint8")
    for content in (PYTHON_2_PICKLE, pickle.dumps([array], protocol=4)):
        np.testing.assert_array_equal(unpickle_arrays(content), [array])


@pytest.mark.parametrize("function", [os.system, eval, np.load, getattr])
def test_pickle_with_a_program_inside_is_refused(function, tmp_path):
    class Malicious:
        def __reduce__(self):
            return function, (str(tmp_path / "written"),)

    with pytest.raises(DatasetError, match=f"asks for .*{function.__name__}; only NumPy arrays are admitted"):
        unpickle_arrays(pickle.dumps([np.zeros(2), Malicious()], protocol=4))


# The registry


def test_unknown_name_lists_the_known_and_suggests_the_nearest():
    with pytest.raises(ValueError, match="no data set 'dynamic-MNST'. Did you mean 'dynamic_mnist'?") as caught:
        datasets.load("dynamic-MNST")
    assert all(name in str(caught.value) for name in datasets.names())
    with pytest.raises(ValueError, match="no data set 3. Known: .*digits"):
        datasets.load(3)


def test_unknown_option_lists_the_known():
    with pytest.raises(TypeError, match="no option 'validaton'; its options: validation=10000, seed=0"):
        datasets.load("dynamic_mnist", validaton=400)


def test_available_looks_without_downloading(mirror, cache):
    (mirror / "freyfaces.pkl").write_bytes(b"12345")
    cache.mkdir()
    (cache / static_mnist.FILES[0].name).write_bytes(b"123")
    found = {entry.name: entry for entry in datasets.available()}
    assert list(found) == datasets.names()
    assert found["digits"][1:4] == ("bundled", None, 0)
    assert found["mnist_10k"][1:4] == ("bundled", str(files.BUNDLED / "mnist_10k.npz"), 1_813_163)
    assert found["frey_faces"][1:4] == ("mirror", str(mirror / "freyfaces.pkl"), 5)
    assert (
        found["frey_faces"].summary.startswith("28×20 grey video frames") and found["frey_faces"].origin == "github.com"
    )
    assert found["celeba"].where == found["cifar10_jpeg"].where == "by hand"
    assert found["static_mnist"].where == "download" and found["mnist"].path is None
    for file in static_mnist.FILES[1:]:
        (mirror / (file.name + ".gz")).write_bytes(b"1")
    found = {entry.name: entry for entry in datasets.available()}
    assert found["static_mnist"][1:4] == ("mirror and cache", str(cache / static_mnist.FILES[0].name), 5)


def test_repr_has_a_line_for_each_split():
    lines = repr(datasets.load("dynamic_digits")).splitlines()
    assert len(lines) == 4 and lines[1].endswith("(1197, 8, 8, 1), drawn anew in every pass")


# The data sets


def summary(name):
    """The line that `vaekit data` has for it."""
    return next(record.summary for record in datasets.available() if record.name == name)


def check(data, sizes, event_shape):
    assert (len(data.train), len(data.validation), len(data.test)) == sizes and data.event_shape == event_shape
    for x in (np.asarray(data.train), data.validation, data.test):
        assert x.dtype == "float32" and x.shape[1:] == event_shape
        assert x.size == 0 or 0 <= x.min() <= x.max() <= 1
    if data.labels is not None:
        assert tuple(map(len, data.labels)) == sizes and data.labels.test.dtype == "int64"
    assert data.description and data.source


def test_digits_are_the_same_every_time_and_disjoint():
    first, again = datasets.load("digits"), datasets.load("digits")
    check(first, (1197, 300, 300), (8, 8, 1))
    assert "1197/300/300" in summary("digits")
    np.testing.assert_array_equal(first.train, again.train)
    everything = np.concatenate([first.train, first.validation, first.test]).reshape(1797, -1)
    assert len(np.unique(everything, axis=0)) == 1797
    assert set(np.bincount(first.labels.test).nonzero()[0]) == set(range(10))


def test_dynamic_digits_draw_train_anew_and_the_rest_once():
    grey, first, again = map(datasets.load, ("digits", "dynamic_digits", "dynamic_digits"))
    other = datasets.load("dynamic_digits", seed=1)
    check(first, (1197, 300, 300), (8, 8, 1))
    np.testing.assert_array_equal(first.train.probabilities, grey.train)
    generator = np.random.default_rng(0)
    assert (first.train.draw(generator) != first.train.draw(generator)).any()
    for split in ("validation", "test"):
        x, p = getattr(first, split), getattr(grey, split)
        assert set(np.unique(x)) == {0, 1} and (x[p == 0] == 0).all() and (x[p == 1] == 1).all()
        assert abs((x - p).sum()) < 5 * np.sqrt((p * (1 - p)).sum())  # Σ x ~ (Σ p, Σ p(1−p))
        np.testing.assert_array_equal(x, getattr(again, split))
        assert (x != getattr(other, split)).any()


def test_mnist_10k_is_balanced_in_every_ten_and_its_splits_are_disjoint(cache):
    data = datasets.load("mnist_10k")
    check(data, (10_000, 1000, 2000), (28, 28, 1))
    assert "10000/1000/2000" in summary("mnist_10k")
    for labels in data.labels:
        np.testing.assert_array_equal(np.sort(labels.reshape(-1, 10)), np.tile(np.arange(10), (len(labels) // 10, 1)))
    everything = np.concatenate([data.train, data.validation, data.test]).reshape(13_000, -1)
    assert len(np.unique(everything, axis=0)) == 13_000
    assert data.title == "MNIST-10k" and "CC BY-SA 3.0" in data.source


def test_mnist_10k_binarized_dynamically_and_once(cache):
    grey, dynamic, static = map(datasets.load, ("mnist_10k", "dynamic_mnist_10k", "static_mnist_10k"))
    assert isinstance(dynamic.train, DynamicBinarization) and dynamic.title == "dynamic MNIST-10k"
    assert isinstance(static.train, np.ndarray) and static.title == "static MNIST-10k"
    np.testing.assert_array_equal(dynamic.train.probabilities, grey.train)
    for split in Splits._fields:
        x, p = getattr(static, split), getattr(grey, split)
        assert set(np.unique(x)) == {0, 1} and (x[p == 0] == 0).all() and (x[p == 1] == 1).all()
        assert abs((x - p).sum()) < 5 * np.sqrt((p * (1 - p)).sum())  # Σ x ~ (Σ p, Σ p(1−p))
        np.testing.assert_array_equal(x, np.asarray(getattr(dynamic, split)))
        assert (x != getattr(datasets.load("static_mnist_10k", seed=1), split)).any()


def test_damaged_mnist_10k_is_an_error(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(files, "BUNDLED", tmp_path)
    (tmp_path / "mnist_10k.npz").write_bytes(b"PK")
    with pytest.raises(
        DatasetError, match="vaekit's own file .*mnist_10k.npz' is damaged: wrong checksum.*vaekit anew"
    ):
        datasets.load("mnist_10k")


@pytest.mark.thorough
@needs_mirror
def test_mnist_10k_is_made_again_bit_for_bit():
    arrays = make_mnist_10k.extract()
    with np.load(files.fetch(mnist_10k.MNIST_10K)) as kept:
        assert set(kept) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(kept[name], array)
    assert hashlib.sha256(make_mnist_10k.pack(arrays)).hexdigest() == mnist_10k.MNIST_10K.sha256


def test_mnist_is_parsed_as_downloaded(cache, serve, monkeypatch):
    generator = np.random.default_rng(0)
    arrays = [generator.integers(0, 256, shape, "uint8") for shape in [(60, 28, 28), (60,), (20, 28, 28), (20,)]]
    small = []
    for file, array in zip(mnist.FILES, arrays, strict=True):
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
        content = gzip.compress(header + array.tobytes())
        small.append(record(serve("/" + file.name, content), name=file.name, content=content))
    monkeypatch.setattr(mnist, "FILES", small)

    data = datasets.load("mnist", validation=10)
    check(data, (50, 10, 20), (28, 28, 1))
    np.testing.assert_array_equal(np.rint(data.validation[..., 0] * 255), arrays[0][50:])
    np.testing.assert_array_equal(data.labels.test, arrays[3])
    dynamic = {size: datasets.load("dynamic_mnist", validation=size) for size in (0, 10)}
    check(dynamic[0], (60, 0, 20), (28, 28, 1))
    np.testing.assert_array_equal(dynamic[0].test, dynamic[10].test)
    for size in (-1, 60):
        with pytest.raises(ValueError, match=f"expects 0 <= validation < 60 held-out images, received {size}"):
            datasets.load("mnist", validation=size)


def test_static_mnist_and_frey_faces_are_parsed_as_downloaded(cache, serve, monkeypatch):
    bits = np.random.default_rng(0).integers(0, 2, (3, 784))
    text = "".join(" ".join(map(str, row)) + "\n" for row in bits).encode()
    monkeypatch.setattr(static_mnist, "FILES", [record(serve("/a", text), name="a", content=text)] * 3)
    data = datasets.load("static_mnist")
    check(data, (3, 3, 3), (28, 28, 1))
    np.testing.assert_array_equal(data.train.reshape(3, 784), bits)

    frames = np.random.default_rng(0).integers(0, 256, (1965, 560), "uint8")
    content = pickle.dumps([frames], protocol=4)
    monkeypatch.setattr(frey_faces, "FREY_FACES", record(serve("/f", content), name="f", content=content))
    data = datasets.load("frey_faces")
    check(data, (1565, 200, 200), (28, 20, 1))
    x = np.concatenate([data.train, data.validation, data.test]).reshape(1965, 560) * 256 - 0.5
    assert (x != frames).any() and sorted(map(bytes, x.astype("uint8"))) == sorted(map(bytes, frames))
    np.testing.assert_array_equal(data.test, datasets.load("frey_faces").test)


@needs_mirror
@pytest.mark.parametrize(
    ("name", "options", "sizes", "event_shape"),
    [
        ("mnist", {}, (50_000, 10_000, 10_000), (28, 28, 1)),
        ("dynamic_mnist", {"validation": 400}, (59_600, 400, 10_000), (28, 28, 1)),
        ("static_mnist", {}, (50_000, 10_000, 10_000), (28, 28, 1)),
        ("frey_faces", {}, (1565, 200, 200), (28, 20, 1)),
    ],
)
def test_the_papers_own_files(name, options, sizes, event_shape):
    data = datasets.load(name, **options)
    check(data, sizes, event_shape)
    if not options:
        assert f" {'/'.join(map(str, sizes))}" in summary(name)
    if name == "mnist":
        assert np.asarray(data.train).mean() == pytest.approx(0.1307, abs=5e-4)  # the mean of MNIST
        np.testing.assert_array_equal(data.labels.test[:5], [7, 2, 1, 0, 4])
    if name.endswith("c_mnist"):
        assert set(np.unique(data.test)) == {0, 1}


# ---------------------------------------------------------------- arrays of one's own


def test_arrays_of_ones_own_are_split_by_a_seed():
    x = np.arange(50 * 6, dtype="float32").reshape(50, 3, 2, 1) / 300
    words = np.array(["cat", "dog"])[np.arange(50) % 2]
    data = datasets.from_arrays(x, words, validation=0.2, test=5, seed=3, name="pets")
    assert (len(data.train), len(data.validation), len(data.test)) == (35, 10, 5)
    assert data.event_shape == (3, 2, 1)
    for split in datasets.Splits._fields:  # every example once, with its label
        images, labels = getattr(data, split), getattr(data.labels, split)
        rows = np.rint(images[:, 0, 0, 0] * 50).astype(int)
        np.testing.assert_array_equal(images, x[rows])
        np.testing.assert_array_equal(labels, rows % 2)
    every = np.concatenate([data.train, data.validation, data.test])
    np.testing.assert_array_equal(np.sort(every, axis=0), x)
    again, other = (datasets.from_arrays(x, validation=0.2, test=5, seed=seed) for seed in (3, 4))
    np.testing.assert_array_equal(data.test, again.test)
    assert again.labels is None and (data.test != other.test).any()
    assert "by seed 3, then split 35/10/5" in data.description


def test_bytes_of_ones_own():
    x = np.random.default_rng(0).integers(0, 256, (20, 4, 6), "uint8")
    data = datasets.from_arrays(x, validation=0, test=0)
    assert data.event_shape == (4, 6, 1) and data.train.dtype == "float32" and len(data.test) == 0
    np.testing.assert_array_equal(np.sort(np.rint(data.train * 255).astype("uint8"), axis=None), np.sort(x, axis=None))
    binary = datasets.from_arrays(x, binarize=True)
    assert isinstance(binary.train, DynamicBinarization) and set(np.unique(binary.test)) == {0.0, 1.0}
    silhouettes = x // 128  # 0 and 1
    binary = datasets.from_arrays(silhouettes, binarize=True)
    every = np.concatenate([np.asarray(getattr(binary, split)) for split in Splits._fields])
    np.testing.assert_array_equal(np.sort(every, axis=None), np.sort(silhouettes, axis=None))
    assert "255" not in binary.description


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(validation=0.6, test=0.4), "leave none of 10"),
        (dict(validation=10), "validation to be a share"),
        (dict(test=1.5), "test to be a share"),
        (dict(labels=[1, 2]), "10 labels"),
        (dict(binarize=True), r"probabilities in \[0, 1\]"),
    ],
)
def test_arrays_of_ones_own_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        datasets.from_arrays(np.full((10, 3), 2.0), **options)
    with pytest.raises(ValueError, match=r"\[N, D\]"):
        datasets.from_arrays(np.ones(10))
