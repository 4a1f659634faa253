"""Figures: what is drawn, where and in which shade, and what is said of data that cannot be drawn."""

from statistics import NormalDist
from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from vaekit import plotting
from vaekit.batches import DynamicBinarization

pytestmark = pytest.mark.once

RNG = np.random.default_rng(0)
IMAGES = RNG.random((7, 6, 4)).astype("float32")  # [N, H, W]


def drawn(figure):
    """Shades of the images in a figure of one axes, in order."""
    (axes,) = figure.axes
    return [np.asarray(image.get_array()) for image in axes.images]


def corners(figure):
    """Left and top of the images in a figure of one axes, `[N, 2]`."""
    return np.array([(image.get_extent()[0], image.get_extent()[3]) for image in figure.axes[0].images])


# ---------------------------------------------------------------- figures


def test_a_figure_shows_itself_and_leaves_pyplot_alone():
    settings = dict(matplotlib.rcParams)
    figure = plotting.image_grid(IMAGES)
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert plt.get_fignums() == []  # else a notebook would show the figure twice
    assert dict(matplotlib.rcParams) == settings


@pytest.mark.parametrize("n", [1, 16, 100])
def test_figures_are_of_readable_size(n):
    width, height = plotting.image_grid(np.zeros((n, 28, 28))).get_size_inches() * 100
    assert 100 <= width <= 900 and 100 <= height <= 900


# ---------------------------------------------------------------- images


@pytest.mark.parametrize("images", [IMAGES, IMAGES[..., None], IMAGES.tolist()])
def test_image_grid_draws_each_image(images):
    figure = plotting.image_grid(images, columns=3)
    np.testing.assert_array_equal(drawn(figure), IMAGES)
    left, top = corners(figure).T
    assert len(np.unique(left)) == 3 and len(np.unique(top)) == 3  # rows of 3, 3 and 1
    assert left[0] == left[3] == left[6] and left[0] < left[1] < left[2]
    assert top[0] == top[2] > top[3] == top[5] > top[6]
    assert figure.axes[0].images[0].get_extent()[1] - left[0] == IMAGES.shape[2]  # square pixels


def test_image_grid_of_colours_and_of_binarized_data():
    rgb = RNG.random((2, 5, 5, 3)).astype("float32")
    np.testing.assert_array_equal(drawn(plotting.image_grid(rgb)), rgb)
    data = DynamicBinarization(IMAGES[..., None])
    np.testing.assert_array_equal(drawn(plotting.image_grid(data)), np.asarray(data)[..., 0])


def test_value_range_maps_values_to_shades():
    image = np.array([[[-2.0, -1.0], [0.0, 3.0]]])
    shades = [[0, 0], [0.5, 1]]  # clipped below −1 and above 1
    np.testing.assert_allclose(drawn(plotting.image_grid(image, value_range=(-1, 1)))[0], shades)
    np.testing.assert_allclose(drawn(plotting.image_grid(image, value_range=None))[0], [[0, 0.2], [0.4, 1]])
    bytes_ = np.array([[[0, 51], [102, 255]]], dtype="uint8")
    np.testing.assert_allclose(drawn(plotting.image_grid(bytes_, value_range=(0, 255)))[0], [[0, 0.2], [0.4, 1]])
    constant = drawn(plotting.image_grid(np.full((1, 2, 2), 7.0), value_range=None))[0]
    np.testing.assert_array_equal(constant, 0)
    limits = {image.get_clim() for image in plotting.image_grid(IMAGES).axes[0].images}
    assert limits == {(0, 1)}  # one scale for all images


def test_titles_stand_above_their_images():
    titles = np.arange(7)
    figure = plotting.image_grid(IMAGES, titles=titles)
    texts = figure.axes[0].texts
    assert [text.get_text() for text in texts] == [str(title) for title in titles]
    positions = np.array([text.get_position() for text in texts])
    np.testing.assert_allclose(positions[:, 0], corners(figure)[:, 0] + IMAGES.shape[2] / 2)
    assert (positions[:, 1] > corners(figure)[:, 1]).all()


def test_reconstructions_stand_below_their_images():
    x, reconstruction = IMAGES, IMAGES / 2
    figure = plotting.reconstructions(x, reconstruction, columns=4)
    np.testing.assert_array_equal(drawn(figure), [*x, *reconstruction])
    left, top = corners(figure).reshape(2, 7, 2).transpose(2, 0, 1)  # [x or reconstruction, N]
    np.testing.assert_array_equal(left[0], left[1])
    assert (top[1] < top[0]).all() and top[0, 4] < top[1, 0]
    axes = figure.axes[0]
    labels = {y: text.get_text() for y, text in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)}
    middle = corners(figure)[:, 1] - IMAGES.shape[1] / 2
    assert [labels[y] for y in middle] == ["x"] * 7 + ["reconstruction"] * 7


def test_grids_have_columns():
    for draw in (plotting.image_grid, lambda x, columns: plotting.reconstructions(x, x, columns)):
        for columns in (0, -1, 2.5):
            with pytest.raises(ValueError, match=f"columns to be an integer of at least 1; received {columns}"):
                draw(IMAGES, columns=columns)


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((3, 784)), r"received \[3, 784\].*reshape"),
        (np.zeros((28, 28)), r"received \[28, 28\].*image\[None\]"),
        (np.zeros((28, 28, 1)), r"received \[28, 28, 1\].*image\[None\]"),
        (np.zeros((2, 5, 5, 4)), r"received \[2, 5, 5, 4\]"),
        (np.zeros((0, 5, 5, 1)), r"received \[0, 5, 5, 1\]"),
        (np.zeros((60000, 1, 2)), r"2500 images at most; received 60000"),
        (np.where(np.arange(3)[:, None, None] == 1, np.nan, np.zeros((3, 2, 2))), "1 of 3 images .* first is 1"),
        (np.full((2, 4, 4), 255, "uint8"), r"255, far outside value_range=\(0, 1\).*\(0, 255\)"),
    ],
)
def test_images_that_cannot_be_drawn(images, message):
    with pytest.raises(ValueError, match=message):
        plotting.image_grid(images)
    with pytest.raises(ValueError, match=message):
        plotting.reconstructions(images, images)


def test_titles_and_reconstructions_that_do_not_fit():
    with pytest.raises(ValueError, match="each of the 7 images; received 2"):
        plotting.image_grid(IMAGES, titles="ab")
    with pytest.raises(ValueError, match=r"\[7, 6, 4, 1\] and \[2, 6, 4, 1\]"):
        plotting.reconstructions(IMAGES, IMAGES[:2])


# ---------------------------------------------------------------- the manifold


def test_manifold_decodes_the_quantiles_of_the_prior():
    seen = []

    def decode(z):
        seen.append(z)
        return np.zeros((len(z), 3, 2, 1))

    plotting.manifold(decode, n=5)
    (z,) = seen
    quantiles = [NormalDist().inv_cdf(u) for u in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert z.dtype == "float32"
    np.testing.assert_allclose(z, [(z1, z2) for z2 in quantiles for z1 in quantiles], rtol=1e-6)


def test_manifold_has_z1_to_the_right_and_z2_upwards():
    n, normal = 4, NormalDist()

    def decode(z):  # the upper pixel shows z₁, the lower one z₂, as quantiles
        return np.array([[[[normal.cdf(z1)]], [[normal.cdf(z2)]]] for z1, z2 in z.tolist()])

    figure = plotting.manifold(decode, n=n)
    axes = figure.axes[0]
    for image in axes.images:
        left, right, bottom, top = image.get_extent()
        shown = np.asarray(image.get_array())[:, 0]
        np.testing.assert_allclose(shown, [(left + right) / 2, (bottom + top) / 2], atol=1e-6)
        assert image.origin == "upper"
    assert len(axes.images) == n * n and axes.get_xlim() == axes.get_ylim() == (0, 1)
    for axis in axes.xaxis, axes.yaxis:
        labels = [float(text.get_text().replace("−", "-")) for text in axis.get_ticklabels()]
        np.testing.assert_allclose(axis.get_ticklocs(), [normal.cdf(z) for z in labels])
    assert axes.get_xlabel() == "$z_1$" and axes.get_ylabel() == "$z_2$"


def test_manifold_says_what_decode_should_return():
    with pytest.raises(ValueError, match="return 9 images, .* gave 1"):
        plotting.manifold(lambda z: np.zeros((1, 2, 2)), n=3)
    with pytest.raises(ValueError, match=r"manifold expects images .* received \[9, 4\]"):
        plotting.manifold(lambda z: np.zeros((9, 4)), n=3)


# ---------------------------------------------------------------- scatter and contours


def test_scatter_colours_and_names_the_classes():
    labels = np.arange(60) % 3 + 4
    z = RNG.normal(size=(60, 2)) + 10 * np.array([[0, 0], [1, 0], [0, 1]])[labels - 4]  # names do not meet
    axes = plotting.latent_scatter(z, labels).axes[0]
    (points,) = axes.collections
    np.testing.assert_array_equal(points.get_offsets(), z)
    names, keys = [t.get_text() for t in axes.get_legend().get_texts()], axes.get_legend().legend_handles
    assert names == ["4", "5", "6"]
    color = {name: to_rgba(key.get_color())[:3] for name, key in zip(names, keys, strict=True)}
    np.testing.assert_allclose(points.get_facecolors()[:, :3], [color[str(label)] for label in labels])
    for text in axes.texts:
        np.testing.assert_allclose(text.get_position(), np.median(z[labels == int(text.get_text())], axis=0))


def perceived(colors, seen):
    """OKLab coordinates of "#rrggbb" as an eye sees them, by a matrix for linear RGB: `[N, 3]`."""
    s = np.array([to_rgba(color)[:3] for color in colors])
    linear = np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)
    lms = [[0.41222, 0.53633, 0.05145], [0.21190, 0.68070, 0.10740], [0.08830, 0.28172, 0.62998]]
    lab = [[0.21045, 0.79362, -0.00407], [1.97800, -2.42859, 0.45059], [0.02590, 0.78277, -0.80868]]
    return np.cbrt(np.clip(linear @ np.transpose(seen), 0, 1) @ np.transpose(lms)) @ np.transpose(lab)


@pytest.mark.parametrize(
    "seen, least",
    [
        (np.eye(3), 0.17),
        ([[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]], 0.1),  # deuteranopia
        ([[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]], 0.1),  # protanopia
        ([[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]], 0.1),  # tritanopia
    ],
)
def test_classes_are_told_apart(seen, least):
    colors = perceived(plotting.CLASSES, seen)
    distances = np.linalg.norm(colors[:, None] - colors, axis=-1) + np.eye(10)
    assert distances.min() > least
    assert min(distances[i, j] for i, j in ((3, 5), (3, 8), (4, 9), (5, 8), (7, 9))) > 0.16
    model_and_encoder = perceived(plotting.COLORS[:2], np.eye(3))
    assert np.linalg.norm(perceived(plotting.CLASSES, np.eye(3))[:, None] - model_and_encoder, axis=-1).min() > 0.12


def test_scatter_of_numbers_has_a_colour_bar_and_of_nothing_no_legend():
    z = RNG.normal(size=(60, 2))
    figure = plotting.latent_scatter(z, np.arange(60))
    assert len(figure.axes) == 2 and figure.axes[0].collections[0].colorbar is not None
    axes = plotting.latent_scatter(z).axes[0]
    assert axes.get_legend() is None and len(axes.texts) == 0


def test_functions_draw_into_given_axes():
    figure = plotting.Figure()
    left, middle, right = figure.subplots(1, 3)
    assert plotting.latent_scatter(np.zeros((3, 2)), axes=left) is figure
    assert plotting.manifold(lambda z: np.zeros((4, 2, 2)), n=2, axes=middle) is figure
    assert plotting.posterior_contours({"p": lambda z: -(z**2).sum(1)}, axes=right) is figure
    assert len(left.collections) == 1 and len(middle.images) == 4 and len(right.collections) == 1


@pytest.mark.parametrize(
    "z, labels, message",
    [
        (np.zeros((5, 20)), None, r"received \[5, 20\].*PCA"),
        (np.zeros((5, 1)), None, r"received \[5, 1\]"),
        (np.zeros((4, 5, 2)), None, r"received \[4, 5, 2\]"),
        (np.full((5, 2), np.nan), None, "5 of 5 points"),
        (np.zeros((5, 2)), np.zeros(4), r"shape \[5\]; received \[4\]"),
        (np.zeros((5, 2)), np.eye(5), "argmax"),
        (np.zeros((11, 2)), list("abcdefghijk"), "10 names; received 11"),
    ],
)
def test_points_that_cannot_be_drawn(z, labels, message):
    with pytest.raises(ValueError, match=message):
        plotting.latent_scatter(z, labels)


def test_latent_grid_runs_over_z1_first():
    grid = plotting.latent_grid(((0, 1), (5, 7)), points=3)
    np.testing.assert_allclose(grid, [(a, b) for b in (5, 6, 7) for a in (0, 0.5, 1)])
    np.testing.assert_allclose(plotting.latent_grid((-1, 1), 2), [(-1, -1), (1, -1), (-1, 1), (1, 1)])


def test_contours_enclose_the_mass_of_a_gaussian():
    # N(m, diag s²) holds mass c where Σ (z − m)²/s² ≤ −2 log(1 − c); constants do not matter
    m, s, masses = np.array([0.5, -0.5]), np.array([0.3, 0.8]), (0.5, 0.9)

    def log_density(z):
        return -0.5 * (((z - m) / s) ** 2).sum(1) - 1234.5

    grid = log_density(plotting.latent_grid((-4, 4), 300))
    for density in log_density, grid, grid.reshape(300, 300):
        figure = plotting.posterior_contours(
            {"p(z|x)": log_density, "q(z|x)": density}, limits=(-4, 4), points=300, masses=masses
        )
        axes = figure.axes[0]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["p(z|x)", "q(z|x)"]
        filled, lines = axes.collections
        np.testing.assert_allclose(filled.levels[:2], lines.levels)
        for path, c in zip(lines.get_paths(), sorted(masses, reverse=True), strict=True):
            radius = np.sqrt(-2 * np.log(1 - c)) * s  # half axes of the ellipse
            np.testing.assert_allclose(path.vertices.max(0), m + radius, atol=0.02)
            np.testing.assert_allclose(path.vertices.min(0), m - radius, atol=0.02)


@pytest.mark.parametrize(
    "density, message",
    [
        (lambda z: z, r"shape \[2500\] for 'q'.*received shape \[2500, 2\]"),
        (np.zeros(7), r"received shape \[7\]"),
        (lambda z: np.full(len(z), np.nan), "2500 NaN"),
        (lambda z: np.full(len(z), -np.inf), "somewhere finite"),
        (lambda z: np.zeros(len(z)), "'q' coincide"),
        (lambda z: -1e6 * (z**2).sum(1), "closer around"),
    ],
)
def test_densities_that_cannot_be_drawn(density, message):
    with pytest.raises(ValueError, match=message):
        plotting.posterior_contours({"q": density}, points=50)


# ---------------------------------------------------------------- training curves


def history(n=12, validation=True):
    terms = {"loss": RNG.random(n), "bound": RNG.random(n), "reconstruction": RNG.random(n), "kl": RNG.random(n)}
    return terms | ({f"val_{name}": values + 1 for name, values in terms.items()} if validation else {})


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("wrap", [lambda h: h, lambda h: SimpleNamespace(history=h)])
def test_training_curves_of_one_history(wrap):
    h = history()
    figure = plotting.training_curves(wrap(h))
    assert [axes.get_title() for axes in figure.axes] == ["bound", "reconstruction", "KL"]
    assert figure.axes[0].get_ylabel() == "nats per example" and legend(figure) == ["training", "validation"]
    for axes, term in zip(figure.axes, ("bound", "reconstruction", "kl"), strict=True):
        for line, name, style in zip(axes.lines, (term, f"val_{term}"), ("-", "--"), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 13))
            np.testing.assert_array_equal(line.get_ydata(), h[name])
            assert line.get_linestyle() == style
        assert axes.get_xlabel() == "epoch" and axes.get_xscale() == "linear"
        assert [line.get_color() for line in axes.lines] == [
            "black",
            "0.5",
        ]  # which mean nothing else


def test_training_curves_compare_and_count_samples():
    several = {"VAE": history(), "IWAE": SimpleNamespace(history=history(5, validation=False))}
    figure = plotting.training_curves(several, terms=["bound", "kl_z1"], examples_per_epoch=1000)
    (axes,) = figure.axes  # no history has kl_z1
    assert legend(figure) == ["VAE, training", "VAE, validation", "IWAE, training"]
    vae, vae_validation, iwae = axes.lines
    assert vae.get_color() == vae_validation.get_color() != iwae.get_color()
    np.testing.assert_array_equal(iwae.get_xdata(), 1000 * np.arange(1, 6))
    assert axes.get_xscale() == "log" and axes.get_xlabel() == "training samples evaluated"


def test_training_curves_with_rare_validation():
    h = history(11, validation=False) | {"val_bound": [1.0, 2.0]}
    line = plotting.training_curves(h, validation_frequency=4).axes[0].lines[1]
    np.testing.assert_array_equal(line.get_xdata(), [4, 8])
    with pytest.raises(ValueError, match="11 values of 'val_bound'; received 2.*validation_frequency"):
        plotting.training_curves(h)


@pytest.mark.parametrize("h", [{}, {"loss": [1.0]}, {"a": {"loss": [1.0]}}])
def test_histories_without_the_terms(h):
    with pytest.raises(ValueError, match="looks for .*'bound'.*Name some"):
        plotting.training_curves(h)
    if "loss" in h:
        assert len(plotting.training_curves(h, terms=["loss"]).axes[0].lines) == 1


# ---------------------------------------------------------------- labels, legends, t-SNE


@pytest.mark.parametrize("names", [np.arange(10), np.array(["sandal", "trousers", "bag", "shirt", "coat"])])
def test_names_of_classes_in_one_place_are_moved_apart(names):
    figure = plotting.Figure(figsize=(9, 4))
    left, right = figure.subplots(1, 2)
    plotting.latent_scatter(RNG.normal(size=(1000, 2)), np.resize(names, 1000), axes=left)
    plotting.latent_scatter(np.ones((20, 2)), np.resize(names, 20), axes=right, legend=False)
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) == len(names)
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
        assert all(axes.bbox.contains(*box.get_points().mean(axis=0)) for box in boxes)  # and stay inside


def test_legends_can_be_left_out():
    z = RNG.normal(size=(60, 2))
    axes = plotting.latent_scatter(z, np.arange(60) % 3, legend=False).axes[0]
    assert axes.get_legend() is None and len(axes.texts) == 3
    assert len(plotting.latent_scatter(z, np.arange(60), legend=False).axes) == 1
    axes = plotting.posterior_contours({"p": lambda z: -(z**2).sum(1)}, legend=False).axes[0]
    assert axes.get_legend() is None


def test_tsne_keeps_clusters_together():
    labels = np.arange(90) % 3
    codes = RNG.normal(size=(90, 2, 3)) + 20 * labels[:, None, None]
    axes = plotting.tsne(codes, labels, points=60, perplexity=10).axes[0]
    points = np.asarray(axes.collections[0].get_offsets())
    colors = axes.collections[0].get_facecolors()
    assert points.shape == (60, 2)
    distance = np.linalg.norm(points[:, None] - points, axis=-1) + np.diag(np.full(60, np.inf))
    np.testing.assert_array_equal(colors[distance.argmin(axis=1)], colors)  # the nearest is of the same class
    again = plotting.tsne(codes, labels, points=60, perplexity=10).axes[0].collections[0].get_offsets()
    np.testing.assert_array_equal(again, points)
    figure = plotting.Figure()
    left, right = figure.subplots(1, 2)
    assert plotting.tsne(codes, np.arange(90), perplexity=5, axes=right) is figure
    assert len(left.collections) == 0 and len(right.collections) == 1


@pytest.mark.parametrize(
    "codes, options, message",
    [
        (np.zeros(5), {}, r"received \[5\]"),
        (np.zeros((50, 3)), dict(labels=np.zeros(4)), r"labels of shape \[50\]; received \[4\]"),
        (np.full((50, 3), np.nan), {}, "50 of 50 codes"),
        (np.zeros((20, 3)), {}, "number of points, 20; received 30"),
    ],
)
def test_codes_that_tsne_refuses(codes, options, message):
    with pytest.raises(ValueError, match=message):
        plotting.tsne(codes, **options)
