"""Pictures of video: which frame stands where, what is framed and marked, and what an animation plays."""

import base64
import io
import re

import numpy as np
import pytest
from matplotlib.colors import to_rgb, to_rgba
from PIL import Image

from vaekit import plotting

pytestmark = pytest.mark.once

RNG = np.random.default_rng(0)
VIDEOS = RNG.random((3, 4, 6, 5, 1)).astype("float32")  # [N, T, H, W, C]
KNOWN = to_rgba(plotting.COLORS[1])


def places(axes):
    """Left and top of the images, `[M, 2]`, and of the framed ones, without their edge."""
    images = np.array([(image.get_extent()[0], image.get_extent()[3]) for image in axes.images])
    assert all(patch.get_facecolor() == KNOWN and patch.get_zorder() < 0 for patch in axes.patches)  # behind the image
    edge = 0.06 * VIDEOS.shape[3]
    framed = [(p.get_x() + edge, p.get_y() + p.get_height() - edge) for p in axes.patches]
    return images, np.array(framed)


# ---------------------------------------------------------------- strips and futures


def test_a_strip_has_a_row_for_each_video_and_frames_what_was_given():
    axes = plotting.strip(VIDEOS, past=2, labels="abc").axes[0]
    np.testing.assert_array_equal([i.get_array() for i in axes.images], VIDEOS.reshape(12, 6, 5))
    images, framed = places(axes)
    left, top = images.reshape(3, 4, 2).transpose(2, 0, 1)
    assert (np.diff(left, axis=1) > 5).all() and (np.diff(top, axis=0) < -6).all()
    assert (left == left[0]).all() and (top.T == top[:, 0]).all()
    np.testing.assert_allclose(framed, images.reshape(3, 4, 2)[:, :2].reshape(6, 2))
    assert [(text.get_text(), text.get_position()[0]) for text in axes.texts] == [
        (str(t), x + 2.5) for t, x in enumerate(left[0])
    ]
    assert all(text.get_position()[1] > top.max() for text in axes.texts)
    labels = dict(zip(axes.get_yticks(), [label.get_text() for label in axes.get_yticklabels()], strict=True))
    assert labels == dict(zip(top[:, 0] - 3, "abc", strict=True))


def test_a_strip_of_colours_with_times_of_its_own():
    rgb = RNG.random((1, 2, 6, 5, 3)).astype("float32")
    axes = plotting.strip(rgb, times=["t", "t+1"]).axes[0]
    np.testing.assert_array_equal([i.get_array() for i in axes.images], rgb[0])
    assert [text.get_text() for text in axes.texts] == ["t", "t+1"] and not axes.patches and not len(axes.get_yticks())


@pytest.mark.parametrize("known", [True, False])
def test_futures_follow_the_past_in_rows(known):
    past, truth, draws = VIDEOS[0, :2], VIDEOS[0, 1:], VIDEOS[1:, 1:]
    axes = plotting.futures(past, draws, truth if known else None).axes[0]
    rows = np.concatenate([truth[None], draws]) if known else draws
    np.testing.assert_array_equal([i.get_array() for i in axes.images], [*past[..., 0], *rows.reshape(-1, 6, 5)])
    images, framed = places(axes)
    np.testing.assert_allclose(framed, images[:2])
    left, top = images[2:].reshape(*rows.shape[:2], 2).transpose(2, 0, 1)
    assert images[1, 0] < left.min() and (images[:2, 1] == top[0, 0]).all()
    assert (np.diff(top[:, 0]) < 0).all() and (left == left[0]).all()
    assert [text.get_text() for text in axes.texts] == list("01234")
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == (["truth"] if known else []) + ["draw 1", "draw 2"]


# ---------------------------------------------------------------- the KL over time


def test_bounces_of_one_video_are_marked():
    kl, bounces = np.array([1.0, 4.0, 2.0, 5.0]), np.array([False, True, False, True])
    axes = plotting.kl_over_time(kl, bounces, first=1).axes[0]
    line, *bars, marks = axes.lines
    np.testing.assert_array_equal(line.get_xydata(), [(1, 1), (2, 4), (3, 2), (4, 5)])
    np.testing.assert_array_equal(marks.get_xydata(), [(2, 4), (4, 5)])
    assert [bar.get_xdata()[0] for bar in bars] == [2, 4]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["bounce"]
    assert axes.get_ylim()[0] == 0 and plotting.kl_over_time(kl).axes[0].get_legend() is None


def test_the_mean_of_several_videos_has_standard_errors():
    kl = RNG.gamma(1, size=(6, 4))
    (bars,) = plotting.kl_over_time(kl).axes[0].containers
    np.testing.assert_allclose(bars.lines[0].get_xydata(), np.stack([range(4), kl.mean(axis=0)], axis=1))
    reach = np.array([part[:, 1] for part in bars.lines[2][0].get_segments()])
    error = kl.std(axis=0, ddof=1) / np.sqrt(6)
    np.testing.assert_allclose(reach, np.stack([kl.mean(axis=0) - error, kl.mean(axis=0) + error], axis=1))


def test_videos_that_bounce_are_told_from_those_that_do_not(recwarn):
    kl, bounces = np.array([[5.0, 1], [3, 2], [1, 3]]), np.array([[True, False], [True, False], [False, False]])
    axes = plotting.kl_over_time(kl, bounces, event="cut").axes[0]
    with_, without = (bars.lines[0].get_ydata() for bars in axes.containers)
    np.testing.assert_array_equal(with_, [4, np.nan])  # nothing bounces at t = 1
    np.testing.assert_array_equal(without, [1, 2])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["cut at t", "no cut at t"]
    axes.figure.savefig(io.BytesIO())
    assert not recwarn.list


# ---------------------------------------------------------------- animations


def played(animation):
    """Frames as RGB `[T, H', W', 3]` and their times in milliseconds."""
    source = re.search('src="data:image/png;base64,([^"]+)"', animation._repr_html_())[1]
    picture = Image.open(io.BytesIO(base64.b64decode(source)))
    assert picture.info.get("loop", 0) == 0  # for ever
    frames, times = [], []
    for i in range(picture.n_frames):
        picture.seek(i)
        frames.append(np.asarray(picture.convert("RGB"), dtype=int))
        times.append(picture.info.get("duration"))
    return np.array(frames), times


@pytest.mark.parametrize("channels", [1, 3])
def test_an_animation_plays_each_frame_of_each_video(channels):
    videos = RNG.random((3, 4, 6, 70, channels)).astype("float32")
    animation = plotting.animation(videos, past=2, fps=10, columns=2)
    frames, times = played(animation)
    assert times == [100, 100, 100, 1100] and frames.shape == (4, 2 * 9 - 1, 2 * 73 - 1, 3)
    for i, (y, x) in enumerate([(0, 0), (0, 73), (9, 0)]):
        np.testing.assert_allclose(
            frames[:, y + 1 : y + 7, x + 1 : x + 71],
            np.broadcast_to(255 * videos[i], (4, 6, 70, 3)),
            atol=255 / 63 / 2 + 1,  # 64 shades
        )
        for t, color in enumerate([to_rgb(plotting.COLORS[1])] * 2 + [(1, 1, 1)] * 2):
            edge = np.concatenate([frames[t, y, x : x + 72], frames[t, y : y + 8, x + 71]])
            np.testing.assert_allclose(edge, np.broadcast_to(255 * np.array(color), edge.shape), atol=0.51)
    assert (frames[:, 9:, 73:] == 255).all()  # no fourth video


def test_small_videos_are_enlarged_and_told_to_all():
    animation = plotting.animation(VIDEOS, past=1, columns=3)
    frames, _ = played(animation)
    assert frames.shape[1:3] == (6 * 12 + 2, 3 * (5 * 12 + 3) - 1)
    inside = frames[:, 1:-1, 1:61]
    np.testing.assert_array_equal(inside, inside[:, ::12, ::12].repeat(12, axis=1).repeat(12, axis=2))
    assert 'alt="3 videos of 4 frames, the first of which was given' in animation._repr_html_()
    assert repr(animation) == "<3 videos of 4 frames, the first of which was given and is framed>"
    assert 'alt="&quot;a&quot;"' in plotting.animation(VIDEOS, alt='"a"')._repr_html_()
    assert animation.size == (frames.shape[2] * 2, frames.shape[1] * 2)
    assert plotting.animation(VIDEOS, width=40, columns=1).size[0] == 62  # at least a pixel for a pixel


def test_an_animation_of_one_frame_is_saved(tmp_path):
    plotting.animation(VIDEOS[:1, :1]).save(tmp_path / "one.png")
    assert Image.open(tmp_path / "one.png").size == (62, 74)


def test_an_animation_is_small():
    t, y, x = np.ogrid[:20, :64, :64]
    videos = [np.exp(-((x - 20 - 2 * t) ** 2 + (y - 10 - i - t) ** 2) / 60) for i in range(8)]  # soft as samples are
    assert len(plotting.animation(np.stack(videos)[..., None])._repr_html_()) < 200_000


# ---------------------------------------------------------------- what cannot be shown


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda: plotting.strip(VIDEOS[0]), r"strip expects videos .* received \[4, 6, 5, 1\].*video\[None\]"),
        (lambda: plotting.strip(VIDEOS[..., 0]), r"received \[3, 4, 6, 5\].*videos\[\.\.\., None\]"),
        (lambda: plotting.strip(VIDEOS[:0]), r"received \[0, 4, 6, 5, 1\]"),
        (lambda: plotting.strip(VIDEOS, past=5), "0 to 4; received 5"),
        (lambda: plotting.strip(VIDEOS, labels="ab"), "expects 3 labels; received 2"),
        (lambda: plotting.strip(VIDEOS, times=range(5)), "expects 4 times; received 5"),
        (lambda: plotting.strip(255 * VIDEOS), "far outside value_range"),
        (lambda: plotting.strip(VIDEOS * np.nan), "12 of 12 images hold NaN"),
        (
            lambda: plotting.animation(np.zeros((130, 20, 2, 2, 1))),
            r"2500 frames at most; received 130 videos of 20\. Try videos\[:8\]",
        ),
        (lambda: plotting.strip(np.zeros((1, 2501, 1, 1, 1))), r"1 videos of 2501\. Try videos\[:1, :100\]"),
        (lambda: plotting.futures(VIDEOS[:, :2], VIDEOS), r"past .*\['\.\.\.', 6, 5, 1\].*videos\[0, :past\]"),
        (lambda: plotting.futures(VIDEOS[0, :0], VIDEOS), r"past .* received \[0, 6, 5, 1\]"),
        (
            lambda: plotting.futures(VIDEOS[0], VIDEOS, VIDEOS[0, :3]),
            r"truth .*\[4, 6, 5, 1\]; received \[3, 6, 5, 1\]",
        ),
        (lambda: plotting.futures(VIDEOS[0], VIDEOS[0]), r"futures expects videos .* received \[4, 6, 5, 1\]"),
        (lambda: plotting.futures(VIDEOS[0], VIDEOS, labels="ab"), "expects 3 labels; received 2"),
        (lambda: plotting.kl_over_time(np.zeros((2, 3, 4))), r"received shape \[2, 3, 4\].*sum\(axis=-1\)"),
        (lambda: plotting.kl_over_time([1, np.nan]), "1 not finite"),
        (lambda: plotting.kl_over_time(np.zeros((2, 3)), np.zeros((2, 4))), r"\[2, 3\]; received \[2, 4\].*1:\]"),
        (lambda: plotting.animation(VIDEOS[0]), r"animation expects videos .* received \[4, 6, 5, 1\]"),
        (lambda: plotting.animation(VIDEOS, fps=0), "received 0"),
        (lambda: plotting.animation(VIDEOS, columns=0), "columns to be an integer of at least 1"),
        (lambda: plotting.animation(255 * VIDEOS), "far outside value_range"),
    ],
)
def test_videos_that_cannot_be_shown(function, message):
    with pytest.raises(ValueError, match=message):
        function()
