"""Videos: moving pictures against the rule and its truth, Frey Faces in order, robot videos from made files."""

import gzip
import hashlib
import pickle

import keras
import numpy as np
import pytest
from PIL import Image
from test_datasets_images import needs_mirror, publish, summary  # noqa: F401

import vaekit as vk
from vaekit import datasets
from vaekit.batches import Batches, DynamicBinarization, Redrawn
from vaekit.datasets import DatasetError, Splits, frey_video, mnist
from vaekit.datasets.frey_video import clips, shots
from vaekit.datasets.motion import clamped, moved, reflected
from vaekit.datasets.moving_mnist import motion_of_the_test_set, resized

once = pytest.mark.once
rng = np.random.default_rng(0)


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def same(videos, others):
    return np.array_equal(np.asarray(videos), np.asarray(others))


# ---------------------------------------------------------------- the rules


@once
def test_clamped_pictures_stop_at_the_wall_and_leave_it_with_a_new_velocity():
    room, speed = (7, 12), 3
    places, velocities, bounces = clamped(np.random.default_rng(0), 3000, 20, room, speed)
    last = np.array(room) - 1
    assert places.min() == 0 and (places.max(axis=(0, 1)) == last).all() and np.abs(velocities).max() == speed
    assert not bounces[:, 0].any()
    aims = places[:, :-1] + velocities[:, :-1]  # of the next frame
    np.testing.assert_array_equal(places[:, 1:], aims.clip(0, last))
    below, beyond = aims < 0, aims > last
    np.testing.assert_array_equal(bounces[:, 1:], (below | beyond).any(axis=2))
    now = velocities[:, 1:]
    np.testing.assert_array_equal(now[~bounces[:, 1:]], velocities[:, :-1][~bounces[:, 1:]])
    one = (below | beyond).sum(axis=2) == 1  # not into a corner
    for axis in (0, 1):
        for walls, sign in ((below, 1), (beyond, -1)):
            hit = one & walls[..., axis]
            away, count = np.unique(sign * now[hit][:, axis], return_counts=True)
            np.testing.assert_array_equal(away, np.arange(1, speed + 1))
            along, counts = np.unique(now[hit][:, 1 - axis], return_counts=True)
            np.testing.assert_array_equal(along, np.arange(-speed, speed + 1))
            for n in (count, counts):  # as many of each
                assert np.abs(n / n.mean() - 1).max() < 5 / np.sqrt(n.mean())
    corner = (below | beyond).all(axis=2)  # rows first, then columns, as published
    assert (np.abs(now[corner][:, 1]) >= 1).all() and (now[corner & below[..., 1]][:, 1] > 0).all()


@once
def test_reflected_pictures_take_the_published_ways():
    """What the authors' own code computed with the same numbers: digests of places and velocities, int64."""
    for size, side, speed, n, known in (
        (64, 28, 4, 20, ("d28a75e4f67209a2", "5ee3de24eb07dc20")),
        (12, 8, 4, 100, ("6299bc85fc9910a7", "b84a0ee366c45b12")),
    ):
        room = (size - side,) * 2
        places, velocities, bounces = reflected(np.random.RandomState(42), n, 30, room, speed)
        assert tuple(digest(part.astype("int64"))[:16] for part in (places, velocities)) == known
        assert places.min() == 0 and places.max() == room[0]
        steady = ~bounces[:, 1:]
        np.testing.assert_array_equal(velocities[:, 1:][steady], velocities[:, :-1][steady])
        off = places[:, 1:] - places[:, :-1] - velocities[:, 1:]
        assert np.abs(off[steady]).max() <= 1  # places between pixels are rounded
    made = reflected(np.random.default_rng(0), 3, 10, (5, 9), 2)[0]
    assert made.shape == (3, 10, 2) and same(made, reflected(np.random.default_rng(0), 3, 10, (5, 9), 2)[0])


# ---------------------------------------------------------------- moving pictures


@once
@pytest.mark.parametrize("rule", ["clamped", "reflected"])
def test_frames_are_the_pictures_at_their_places(rule):
    images = rng.random((3, 4, 5, 2))
    videos = datasets.moving(images, 6, frames=7, objects=3, size=(9, 11), speed=2, rule=rule, seed=5)
    assert videos.shape == (6, 7, 9, 11, 2) == np.asarray(videos).shape and len(videos) == 6
    assert videos.which.shape == (6, 3) and videos.bounces.shape == (6, 7, 3)
    assert videos.positions.shape == videos.velocities.shape == (6, 7, 3, 2)
    expected = np.zeros(videos.shape)
    for n, t, k in np.ndindex(6, 7, 3):
        row, column = videos.positions[n, t, k]
        expected[n, t, row : row + 4, column : column + 5] += images[videos.which[n, k]]
    assert expected.max() > 1
    np.testing.assert_allclose(np.asarray(videos), expected.clip(max=1), rtol=1e-6)


@once
def test_videos_stand_where_an_array_could_stand():
    images = np.ones((1, 2, 2, 1))
    videos, again, other = (datasets.moving(images, 5, 4, 1, size=8, speed=2, seed=seed) for seed in (1, 1, 2))
    x = np.asarray(videos)
    assert x.dtype == videos.dtype == "float32" and videos.ndim == 5
    assert same(videos, again) and same(videos.bounces, again.bounces) and not same(videos, other)
    for index in (2, -1, slice(1, 4), [3, 0], x[:, 0].sum(axis=(1, 2, 3)) > 0, (slice(2), 3), (1, 2), np.int64(3)):
        np.testing.assert_array_equal(videos[index], x[index])
    assert not isinstance(videos, Redrawn) and np.asarray(videos, "float64").dtype == "float64"
    assert "MovingImages(shape=(5, 4, 8, 8, 1))" in repr(videos)


@once
@pytest.mark.parametrize("rule", ["clamped", "reflected"])
def test_frames_that_are_no_surprise_follow_from_those_before(rule):
    videos = datasets.moving(np.ones((1, 3, 3, 1)), 400, 12, 1, size=10, speed=2, rule=rule)
    places, velocities, room = videos.positions[:, :, 0], videos.velocities[:, :, 0], 10 - 3
    assert videos.surprises[:, :2].all()
    follows = ~videos.surprises[:, 2:]
    # the velocity that the frame before was reached with, and so is known
    known = places[:, 1:-1] + (velocities[:, :-2] if rule == "clamped" else velocities[:, 1:-1])
    if rule == "clamped":
        np.testing.assert_array_equal(places[:, 2:][follows], known.clip(0, room - 1)[follows])
    else:
        assert np.abs(places[:, 2:] - known)[follows].max() <= 1
    assert 0.1 < follows.mean() < 0.9
    if rule == "clamped":
        assert (places[:, 2:] != known.clip(0, room - 1))[~follows].any(axis=-1).mean() > 0.8


@once
@pytest.mark.parametrize(
    "options, message",
    [
        (dict(images=np.ones((2, 3, 3))), r"pictures \[M, h, w, C\]; received the shape \[2, 3, 3\]"),
        (dict(images=np.full((1, 3, 3, 1), 255)), "divide bytes by 255"),
        (dict(size=6), "no room to move by 4 a frame in frames of 6×6"),
        (dict(rule="bounce"), "a rule of clamped, reflected; received 'bounce'"),
        (dict(frames=0), "frames to be an integer of at least 1"),
    ],
)
def test_moving_explains_what_does_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        datasets.moving(**{"images": np.ones((1, 3, 3, 1)), "n": 2, **options})


# ---------------------------------------------------------------- the data sets


@once
def test_moving_digits_have_digits_of_their_own_in_each_split():
    data, again = datasets.load("moving_digits"), datasets.load("moving_digits")
    other = datasets.load("moving_digits", seed=1)
    assert data.event_shape == (16, 16, 16, 1) and "2000/200/500" in summary("moving_digits")
    assert [len(getattr(data, split)) for split in Splits._fields] == [2000, 200, 500]
    assert "drawn anew in every pass" in repr(data) and repr(data).count("anew") == 1
    assert same(data.test, again.test) and same(data.train[:50], again.train[:50])
    assert not same(data.test, other.test) and not same(data.test.bounces[:200], data.validation.bounces)
    assert 0.2 < data.test.surprises[:, 2:].mean() < 0.3  # bounces are events
    still = datasets.load("digits")
    for split in Splits._fields:
        videos = getattr(data, split)
        np.testing.assert_array_equal(videos.images, getattr(still, split))  # which are disjoint
        assert len(np.unique(videos.which)) > 0.4 * len(videos.images)
    pair = datasets.load("moving_digits", digits=2, frames=3, size=20, speed=1, train=4, validation=2, test=1)
    assert pair.event_shape == (3, 20, 20, 1) and pair.test.bounces.shape == (1, 3, 2)
    assert "4/2/1" in pair.description and np.abs(pair.test.velocities).max() <= 1


@pytest.fixture
def small_mnist(publish):  # noqa: F811
    """Files like MNIST's, of 60 training and 20 test images."""
    arrays = [rng.integers(0, 256, shape, "uint8") for shape in [(60, 28, 28), (60,), (20, 28, 28), (20,)]]
    headers = (bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() for array in arrays)
    publish(
        mnist,
        "FILES",
        *(gzip.compress(header + array.tobytes()) for header, array in zip(headers, arrays, strict=True)),
    )
    return arrays


@once
@pytest.mark.parametrize(("rule", "side"), [("clamped", 32), ("reflected", 28)])
def test_moving_mnist_has_each_test_digit_once(small_mnist, rule, side, monkeypatch):
    monkeypatch.setattr("vaekit.datasets.moving_mnist.mnist", lambda: mnist.mnist(validation=10))
    options = dict(frames=4, rule=rule, train=6, validation=3)
    data, other = datasets.load("moving_mnist", **options), datasets.load("moving_mnist", **options, seed=1)
    assert data.event_shape == (4, 64, 64, 1) and [len(x.images) for x in (data.train, data.validation)] == [50, 10]
    assert sorted(data.test.which.ravel()) == list(range(20)) and len(data.test) == 10
    assert data.test.images.shape == (20, side, side, 1)
    assert same(data.test, other.test) and not same(data.train, other.train)
    assert data.test.positions.max() <= 64 - side
    longer = datasets.load("moving_mnist", **options | {"frames": np.int64(9)})
    assert same(longer.test.positions[:, :4], data.test.positions)
    with pytest.raises(ValueError, match="1 <= frames <= 100; received 101"):
        datasets.load("moving_mnist", frames=101)
    with pytest.raises(ValueError, match="a rule of clamped, reflected; received 'svg'"):
        datasets.load("moving_mnist", rule="svg")


@once
def test_digits_are_resized_as_pillow_resizes_each():
    images = rng.integers(0, 256, (5, 28, 28, 1), "uint8")
    each = [np.asarray(Image.fromarray(x[..., 0]).resize((32, 32), Image.Resampling.BILINEAR)) for x in images]
    np.testing.assert_array_equal(np.rint(resized(images / 255, 32)[..., 0] * 255), each)
    np.testing.assert_array_equal(np.rint(resized(images / 255, 28) * 255), images)


@once
def test_the_test_set_of_moving_mnist_is_the_same_everywhere():
    which, positions, velocities, bounces = motion_of_the_test_set(10_000, 15, "clamped")
    assert positions.shape == (5000, 15, 2, 2) and bounces.shape == (5000, 15, 2)
    assert digest(which.astype("int64"))[:16] == "a7abb567e1b402aa" and digest(positions)[:16] == "d8eb2928d279e4e4"
    # the published one, its first videos: paths are drawn one after the other
    generator = np.random.RandomState(42)
    np.testing.assert_array_equal(generator.permutation(10_000).reshape(-1, 2), which)
    published = moved(generator, 10, 100, 2, (36, 36), 4, "reflected")
    assert digest(published[0])[:16] == "785db39d52bf35f4"


@once
@needs_mirror
def test_moving_mnist_of_the_papers_own_files(monkeypatch):
    few = mnist.mnist()
    few["train"] = few["train"][:100]  # to resize
    monkeypatch.setattr("vaekit.datasets.moving_mnist.mnist", lambda: few)
    data = datasets.load("moving_mnist")
    assert [len(getattr(data, split)) for split in Splits._fields] == [10_000, 1000, 5000]
    assert "10000/1000/5000" in summary("moving_mnist")
    assert digest(np.rint(data.test[:10] * 255).astype("uint8"))[:16] == "c1666b48efb7b932"


@once
def test_frey_video_is_cut_at_jumps():
    frames = np.repeat(np.arange(4) / 4.0, (5, 1, 7, 3))[:, None, None, None] + np.zeros((1, 2, 2, 1))
    frames = frames + np.arange(16)[:, None, None, None] / 1000  # every frame is another
    assert [len(shot) for shot in shots(frames)] == [5, 1, 7, 3]
    assert clips(frames, 3, 1).shape == (3 + 0 + 5 + 1, 3, 2, 2, 1)
    apart = clips(frames, 3, 3)
    np.testing.assert_allclose(apart[:, 0, 0, 0, 0] * 1000 % 250, [0, 6, 9, 13])
    assert np.ptp(apart, axis=1).max() < 0.01 and clips(frames, 8, 1).shape == (0, 8, 2, 2, 1)


@once
def test_frey_video_keeps_the_order_of_time(publish):  # noqa: F811
    frames = np.add.outer(np.arange(1965) // 8, np.zeros(560)).astype("uint8")
    publish(frey_video, "FREY_FACES", pickle.dumps([frames], protocol=4))
    data = datasets.load("frey_video", frames=np.int64(5), step=3)
    assert (len(data.train), len(data.validation), len(data.test)) == (521, 40, 40)
    first = [np.rint(x[:, 0, 0, 0, 0] * 256 - 0.5) for x in (data.train, data.validation, data.test)]
    assert [(x.min(), x.max()) for x in first] == [(0, 1560 // 8), (1565 // 8, 1760 // 8), (1765 // 8, 1960 // 8)]


@once
@needs_mirror
def test_frey_video_of_the_papers_own_file():
    data = datasets.load("frey_video")
    assert [len(getattr(data, split)) for split in Splits._fields] == [1360, 19, 18]
    assert "1360/19/18" in summary("frey_video") and data.event_shape == (10, 28, 20, 1)
    changes = [np.square(np.diff(x, axis=1)).mean(axis=(2, 3, 4)) for x in (data.train, data.validation, data.test)]
    assert max(x.max() for x in changes) <= 0.02 and 0.003 < np.median(changes[0]) < 0.006
    with pytest.raises(ValueError, match="frames=157 leaves no clip for validation, test"):
        datasets.load("frey_video", frames=157)
    with pytest.raises(ValueError, match="step to be an integer of at least 1"):
        datasets.load("frey_video", step=0)


# ---------------------------------------------------------------- robot videos


@pytest.fixture(scope="module")
def robots():
    """Videos of noise, bytes: 3 for training, 2 for testing."""
    return rng.integers(0, 256, (5, 30, 64, 64, 3), "uint8")


@pytest.fixture
def pictures(tmp_path, robots):
    """The folder that SVG's code makes."""
    for i, video in enumerate(robots):
        folder = tmp_path / "processed_data" / ("train" if i < 3 else "test") / f"traj_{i * 7}_to_{i}" / str(i + 9)
        folder.mkdir(parents=True)
        for j, frame in enumerate(video[:4]):
            Image.fromarray(frame).save(folder / f"{j}.png", compress_level=0)
    return tmp_path


@pytest.fixture
def records(tmp_path, robots):
    """TensorFlow's own records, as published: two files for training, more features than we read."""
    tf = pytest.importorskip("tensorflow")

    def feature(content):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))

    for name, videos in (
        ("train/traj_10_to_11", robots[2:3]),
        ("train/traj_9_to_9", robots[:2]),
        ("test/a", robots[3:]),
    ):
        path = tmp_path / "softmotion30_44k" / f"{name}.tfrecords"
        path.parent.mkdir(parents=True, exist_ok=True)
        with tf.io.TFRecordWriter(str(path)) as writer:
            for video in videos:
                features = {f"{j}/image_aux1/encoded": feature(frame.tobytes()) for j, frame in enumerate(video)}
                features |= {f"{j}/image_main/encoded": feature(b"another camera") for j in range(30)}
                features["0/action"] = tf.train.Feature(float_list=tf.train.FloatList(value=[1.0, 2.0]))
                features["length"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[-3]))
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString())
    return tmp_path


@once
@pytest.mark.parametrize("format", ["pictures", "records"])
def test_robot_videos_are_read_from_both_formats(format, robots, request):
    folder = request.getfixturevalue(format)
    data = datasets.load("bair", folder=folder, frames=3, validation=1)
    assert data.event_shape == (3, 64, 64, 3) and "2/1/2" in data.description
    for videos, bytes_ in ((data.train, robots[:2]), (data.validation, robots[2:3]), (data.test, robots[3:])):
        assert np.asarray(videos).dtype == "float32"
        np.testing.assert_array_equal(np.rint(np.asarray(videos) * 255), bytes_[:, :3])
    np.testing.assert_array_equal(np.rint(data.test[1, 2] * 255), robots[4, 2])
    if format == "records":
        drawn = np.rint(data.train.draw(np.random.default_rng(0), [1, 0, 0, 0]) * 255)
        starts = [
            next(i for i in range(28) if same(x, robots[r, i : i + 3]))
            for x, r in zip(drawn, [1, 0, 0, 0], strict=True)
        ]
        assert len(set(starts)) > 2
        inside = datasets.load("bair", folder=folder / "softmotion30_44k", frames=30, validation=0)
        assert len(inside.validation) == 0 and same(inside.train[2], robots[2] / np.float32(255))


@once
def test_robot_videos_say_what_is_missing(pictures, tmp_path):
    for folder in (None, tmp_path / "none", tmp_path / "processed_data" / "train"):
        with pytest.raises(DatasetError, match="expects a folder with softmotion30_44k or processed_data.*Fetch bair"):
            datasets.load("bair", folder=folder)
    with pytest.raises(ValueError, match="1 <= frames <= 30; received 31"):
        datasets.load("bair", folder=pictures, frames=31)
    with pytest.raises(ValueError, match="0 <= validation < 3 held-out videos, received 3"):
        datasets.load("bair", folder=pictures, validation=3)
    with pytest.raises(DatasetError, match="4.png' is missing, or no picture"):
        datasets.load("bair", folder=pictures, frames=5, validation=0).test[0]
    Image.new("RGB", (32, 64)).save(next((pictures / "processed_data" / "test").glob("*/*/0.png")))
    with pytest.raises(DatasetError, match="has 32×64 pixels; bair expects 64×64"):
        datasets.load("bair", folder=pictures, frames=1, validation=0).test[:]
    for name in ("train", "test"):
        (tmp_path / "empty" / name).mkdir(parents=True)
    with pytest.raises(DatasetError, match="train' has no videos: bair expects files .tfrecords, or folders"):
        datasets.load("bair", folder=tmp_path / "empty")


@once
def test_damaged_records_are_told(records, tmp_path):
    path = next((records / "softmotion30_44k" / "test").iterdir())
    whole = path.read_bytes()
    for content in (whole[:-1], whole[:20], whole + b"1", b""):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match="no file of TensorFlow's records, or is cut off. Unpack"):
            datasets.load("bair", folder=records, validation=0)
    path.write_bytes(whole[:12] + bytes([255]) * 40 + whole[52:])
    with pytest.raises(DatasetError, match="holds a record that is damaged"):
        datasets.load("bair", folder=records, validation=0).test[0]
    path.write_bytes(whole.replace(b"2/image_aux1", b"2/image_aux3"))
    with pytest.raises(DatasetError, match="has no bytes of '2/image_aux1/encoded'; bair expects 64·64·3"):
        datasets.load("bair", folder=records, validation=0).test[0]


# ---------------------------------------------------------------- training


def small(n=7, seed=0):
    return datasets.moving(np.ones((1, 2, 2, 1)), n, 3, 1, size=6, speed=1, seed=seed, endless=True)


def read(batches):
    """All rows as a compiled program takes them."""
    return np.concatenate(
        [
            np.asarray(vk.batches.take(tensors, i, k))
            for tensors, index, keys in batches.chunks()
            for i, k in zip(index, keys, strict=True)
        ]
    )


def test_endless_videos_are_others_in_every_epoch_and_the_same_again():
    data = small()
    batches, again = Batches(data, 3, seed=4), Batches(data, 3, seed=4)
    epochs = []
    for _ in range(2):
        epochs.append(read(batches))
        np.testing.assert_array_equal(epochs[-1], np.concatenate([batches[i][0] for i in range(3)]))
        batches.on_epoch_end()
    assert epochs[0].shape == (7, 3, 6, 6, 1) and not same(*epochs) and not batches.resident
    again.start(1, [4])
    np.testing.assert_array_equal(read(again), epochs[1])
    pair = {"x": data, "p": DynamicBinarization(np.full((7, 2), 0.5)), "y": np.arange(7)}
    both = Batches(pair, 3)
    tensors, index, keys = next(both.chunks())
    taken = vk.batches.take(tensors, index[1], keys[1])
    for name in pair:
        np.testing.assert_array_equal(taken[name], both[1][0][name])


@pytest.mark.thorough
def test_training_on_endless_videos_goes_on_where_it_was(tmp_path):
    def fit(data, epochs, **options):
        keras.utils.set_random_seed(1)
        decoder = keras.Sequential([vk.layers.MLP(4), vk.layers.Normal((3, 6, 6, 1))])
        vae = vk.VAE(keras.Sequential([vk.layers.MLP(4), vk.layers.DiagonalNormal(2)]), decoder, seed=2)
        vae.compile("adam")
        return vae, vae.fit(data, epochs=epochs, batch_size=4, verbose=0, **options).history["loss"]

    vae, losses = fit(small(), 2)
    fit(small(), 1, checkpoint=tmp_path / "c.npz")
    again, same_losses = fit(small(), 2, checkpoint=tmp_path / "c.npz")
    assert same_losses == losses
    for a, b in zip(vae.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not same(small().identity, small(seed=1).identity)  # by which a checkpoint tells data
