r"""Video: stochastic video generation, SVG (Denton & Fergus 2018), with any decoder (Rybkin et al. 2021).

```python
from vaekit.papers.rybkin2020 import video as paper

videos = vk.datasets.load("moving_digits")
model = paper.svg(videos, decoder="optimal", settings=paper.MOVING_DIGITS)  # prior="fixed": SVG-FP
paper.fit(model, videos, settings=paper.MOVING_DIGITS)
model.futures(videos.test[:8, :4], n=20, seed=0)  # [20, 8, 16, 16, 16, 1]: of 4 frames each, 20 ways to go on
```

The first frame is given, all others are described, those too that a model is given when it predicts:
$p(x_{1:T-1}, z | x_0) = \prod_t p(z_t | x_{<t})\, p(x_t | x_{<t}, z_{\le t})$ with $q(z_t | x_{\le t})$. A frame is
encoded once, $h_t$ and maps for skip connections. Each factor has an LSTM: q's reads $h_{\le t}$, the prior's $h_{<t}$,
the decoder's $h_{<t}$ and $z_{\le t}$. The decoder takes its maps from the frame before, and from the last known one
as soon as frames are its own.

SVG's loss, a squared error *averaged* over the D pixels of a frame + β KL, hides a σ: see `hidden_sigma`.

Otherwise than in SVG's code: LSTMs run at frame 0 already, q's on that frame, the prior's and the decoder's on zeros;
skips come from the last known frame (its loop keeps those of the last but one); batch normalization takes its moments
over all frames of a batch together (there: over those at one time), and its running ones when a model is measured
(there: the batch's, at tests, too); an LSTM has one bias, not two. "optimal_image" has a σ for each frame.

The table's unit is not said; by their size its −log p are those of a frame, as ours are. That of "unit" can be none
of a density: with σ = 1 and D = 64 · 64 · 3 no frame has less than D/2 · log 2π = 11,292 nats, and −10,379 is reported.
That of "beta" asks for σ < 0.14, which SVG's own β = 10⁻⁴ (σ = 0.78) does not have; the β is not said.
"""

import math
from dataclasses import dataclass, replace
from functools import partial

import keras

from vaekit import backend, evaluation
from vaekit.layers import DiagonalNormal, Hold, Stack, TimeDistributed
from vaekit.models import Factor, Feature, LatentVariableModel
from vaekit.names import past
from vaekit.objectives import ELBO
from vaekit.papers.cell import Figure, mean
from vaekit.papers.common import event_shape, steps_per_epoch, train
from vaekit.papers.rybkin2020.decoders import head
from vaekit.priors import IndependentSteps, StandardNormal

L = keras.layers


@dataclass(frozen=True)
class Settings:
    """SVG's settings for BAIR; `MOVING_MNIST` has those for stochastic moving MNIST. Ours, for processors:
    `MOVING_DIGITS`, and `NARROW`, moving MNIST with an eighth of the channels and half the units.

    Attributes:
        past: how many frames are known where a model predicts.
        filters: channels of the frame encoder's blocks, and, in reverse, of the frame decoder's; each halves the side,
            which ends at 4.
        convolutions: how many of 3×3 a block has before its max pooling (VGG); (): one of 4×4, of stride 2 (DCGAN).
        code: units of h, and of what the decoder's LSTM gives its frames.
        latents: units of z_t.
        units: of all LSTMs and of the linear layers before them.
        predictor_layers: LSTMs of the decoder, on top of each other; posterior and prior have one.
        spread: weights start as draws from N(0, spread²), scales of batch normalization from N(1, spread²); an LSTM's
            from U(−1/√units, 1/√units).
        beta: of the decoder "beta", see `hidden_sigma`.
        soft_clip: lower bound of log σ; None: there is none.
        batch_size, updates, learning_rate, epsilon: of Adam.
        videos, samples: how many test videos are continued, and how often, for PSNR and SSIM.
    """

    past: int = 2
    filters: tuple = (64, 128, 256, 512)
    convolutions: tuple = (2, 2, 3, 3)
    code: int = 128
    latents: int = 64
    units: int = 256
    predictor_layers: int = 2
    spread: float = 0.02
    beta: float = 1e-4
    soft_clip: float | None = None
    batch_size: int = 100
    updates: int = 180_000
    learning_rate: float = 2e-3
    epsilon: float = 1e-8
    videos: int = 256
    samples: int = 100


BAIR = Settings()
MOVING_MNIST = Settings(past=5, convolutions=(), latents=10)
NARROW = replace(MOVING_MNIST, filters=(8, 16, 32, 64), units=128, batch_size=10, updates=3000, videos=100, samples=20)
MOVING_DIGITS = Settings(
    past=4, filters=(16, 32), convolutions=(), code=32, latents=8, units=64, predictor_layers=1,
    batch_size=20, updates=3000, videos=100, samples=20,
)  # fmt: skip


def svg(data, decoder="optimal", prior="learned", settings=BAIR, seed=None):
    """Stochastic video generation, compiled.

    Args:
        data: a `vaekit.datasets.Dataset` of videos, their frames 4 · 2^blocks pixels wide and high.
        decoder: one of `vaekit.papers.rybkin2020.DECODERS`, for a frame.
        prior: `"learned"`, $p(z_t | x_{<t})$ (SVG-LP), or `"fixed"`, N(0, I) at each step (SVG-FP).
        seed: integer, of the order of the data and of sampling; the weights' is `keras.utils.set_random_seed`.

    Raises:
        ValueError: data of another shape, or an unknown decoder or prior.
    """
    s, frame = settings, _frame(data, settings)
    if prior not in ("learned", "fixed"):
        raise ValueError(f'SVG\'s prior is "learned" or "fixed"; received {prior!r}.')
    encoder = frame_encoder(frame, s)
    skips = [f"skip_{i}" for i in range(1, len(encoder.outputs))]
    fixed = IndependentSteps(StandardNormal(), known=1)
    model = LatentVariableModel(
        features=[Feature(("h", *skips), TimeDistributed(encoder), given="x")],
        generative=[
            Factor("z", gaussian(s), given=past("h")) if prior == "learned" else Factor("z", fixed),
            Factor("x", frames(frame, decoder, encoder.outputs, s), given=(past("h"), "z", *map(past, skips))),
        ],
        inference=[Factor("z", gaussian(s), given="h")],
        seed=seed,
    )
    model.build((None, *data.event_shape))
    adam = keras.optimizers.Adam(s.learning_rate, epsilon=s.epsilon)
    model.compile(adam, objective=ELBO(analytic_kl=True))
    return model


def hidden_sigma(beta, shape):
    r"""The σ of a Gaussian decoder that SVG's loss is: $\sigma^2 = \beta D / 2$, for frames of a shape, D numbers.

    $\frac1D \|x - \mu\|^2 + \beta\,\mathrm{KL} = \beta \left(\frac{\|x - \mu\|^2}{2 \sigma^2} + \mathrm{KL}\right)$.
    β = 10⁻⁴ is σ = 0.45 for grey frames of 64×64, 0.78 for coloured ones.
    """
    return math.sqrt(beta * math.prod(shape) / 2)


def _frame(data, settings):
    """Shape of a frame."""
    shape, side = event_shape(data), 4 * 2 ** len(settings.filters)
    if len(shape) != 4 or shape[0] < 2 or shape[1:3] != (side, side):
        raise ValueError(
            f"A network of {len(settings.filters)} blocks expects videos [N, T, {side}, {side}, C] of two frames or "
            f"more; {data.name!r} has shape {shape}. Settings(filters=...) has a number for each block."
        )
    return shape[1:]


# ---- networks of a frame


def frame_encoder(shape, settings):
    """A frame to its code h and to maps for skip connections, from the largest to the smallest: `keras.Model`."""
    s, x = settings, keras.Input(shape)
    h, maps = x, []
    for i, filters in enumerate(s.filters):
        if s.convolutions:
            for _ in range(s.convolutions[i]):
                h = _block(L.Conv2D(filters, 3, padding="same", **_start(s)), s)(h)
            maps.append(h)
            h = L.MaxPooling2D(2)(h)
        else:
            h = _block(L.Conv2D(filters, 4, 2, padding="same", **_start(s)), s)(h)
            maps.append(h)
    h = _block(L.Conv2D(s.code, 4, **_start(s)), s, "tanh")(h)
    return keras.Model(x, [L.Flatten()(h), *maps])


def frame_decoder(shape, decoder, maps, settings):
    """What the LSTM says of a frame, and skip connections, to its distribution: `keras.Model`.

    The last convolution has as many channels as the likelihood has numbers for a pixel (at most as many as the widest
    layer). The likelihood's own 1×1 convolution follows; together they are one layer, as in the code.

    Args:
        shape: of the frame.
        maps: the encoder's, symbolic tensors.
    """
    s, d = settings, math.prod(shape)
    likelihood, numbers = head(decoder, shape, replace(s, beta=s.beta * d))
    g, skips = keras.Input((s.code,)), [keras.Input(m.shape[1:]) for m in maps]
    h = L.Reshape((1, 1, s.code))(g)
    h = _block(L.Conv2DTranspose(s.filters[-1], 4, **_start(s)), s)(h)
    for i in reversed(range(len(maps))):
        last = min(numbers, s.filters[-1]) if i == 0 else s.filters[i - 1]
        if s.convolutions:
            h = L.Concatenate()([L.UpSampling2D(2)(h), skips[i]])
            for _ in range(s.convolutions[i] - 1):
                h = _block(L.Conv2D(s.filters[i], 3, padding="same", **_start(s)), s)(h)
            convolution = L.Conv2D(last, 3, padding="same", **_start(s))
        else:
            h = L.Concatenate()([h, skips[i]])
            convolution = L.Conv2DTranspose(last, 4, 2, padding="same", **_start(s))
        h = _block(convolution, s)(h) if i else convolution(h)
    return keras.Model([g, *skips], likelihood(h))


def _block(convolution, settings, activation=None):
    """A convolution, batch normalization, and a leaky ReLU (or another activation)."""
    gamma = keras.initializers.RandomNormal(1.0, settings.spread)
    norm = L.BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=gamma)
    return keras.Sequential([convolution, norm, L.Activation(activation) if activation else L.LeakyReLU(0.2)])


def _start(settings):
    return dict(kernel_initializer=keras.initializers.RandomNormal(0.0, settings.spread))


# ---- networks over time


def gaussian(settings):
    """q(z_t | x_≤t) of codes, p(z_t | x_<t) of their past: a linear layer, an LSTM, mean and log variance."""
    s = settings
    z = DiagonalNormal(s.latents, **_start(s))
    return Stack([L.Dense(s.units, **_start(s)), _lstm(s), TimeDistributed(z, known=1)], over_time=True)


def frames(shape, decoder, outputs, settings):
    """p(x_t | x_<t, z_≤t): LSTMs on (h_<t, z_≤t), then the frame decoder with the skips of the last known frame."""
    s, (code, *maps) = settings, outputs
    h, z = keras.Input((None, code.shape[-1])), keras.Input((None, s.latents))
    skips = [keras.Input((None, *m.shape[1:])) for m in maps]
    g = L.Dense(s.units, **_start(s))(L.Concatenate()([h, z]))
    for _ in range(s.predictor_layers):
        g = _lstm(s)(g)
    g = L.Dense(s.code, "tanh", **_start(s))(g)
    held = [Hold(s.past)(skip) for skip in skips]
    x = TimeDistributed(frame_decoder(shape, decoder, maps, s), known=1)([g, *held])
    return keras.Model([h, z, *skips], x)


def _lstm(settings):
    """An LSTM that starts as PyTorch's do."""
    a = settings.units**-0.5
    names = ("kernel_initializer", "recurrent_initializer", "bias_initializer")
    start = {name: keras.initializers.RandomUniform(-a, a) for name in names}
    return L.LSTM(settings.units, return_sequences=True, unit_forget_bias=False, **start)


# ---- training, measure


def fit(model, data, epochs=None, settings=BAIR, **options):
    """Trains as the code does; the last weights stay.

    Args:
        epochs: None: as many as make the settings' number of updates.
        settings: the model's own, by which it was built.
        **options: as for a model's `fit`.
    """
    epochs = schedule(len(data.train), settings) if epochs is None else epochs
    return train(model, data, settings, epochs=epochs, validation_data=data.validation, **options)


def schedule(videos, settings):
    """How many epochs of so many videos make the settings' number of updates, or a little more."""
    return math.ceil(settings.updates / steps_per_epoch(videos, settings))


def measure(model, data, seed=0, progress=True, checkpoint=None, settings=BAIR):
    """−ELBO and KL a frame on the test videos; PSNR and SSIM of the best of some futures, as far as the videos go."""
    s, frames = settings, data.event_shape[0]
    steps = evaluation.by_step(model, data.test, batch_size=s.batch_size, seed=seed)
    figures = {
        "−ELBO a frame": mean(steps.per_step, sign=-1),
        "KL a frame": mean(steps.kl.sum(axis=1) / (frames - steps.known)),
    }
    videos, source = data.test[: s.videos], backend.seed_generator(seed)
    known, truth = videos[:, : s.past], videos[:, s.past :]
    futures = (model.futures(known, length=frames, seed=source)[0][:, s.past :] for _ in range(s.samples))
    for name, best in evaluation.best_of(truth, futures, ["psnr", "ssim"]).items():
        figures[name.upper()] = Figure(best.best.mean, best.best.standard_error)
    return figures


METRIC = (
    "Test videos, nats a frame, the first one left out: one sample of z a video, KL in closed form. PSNR and SSIM of "
    "each video's best of {samples} futures, means given {past} frames, on {videos} test videos."
)


def build(data, model, decoder, beta=None, settings=BAIR, seed=None):
    """The model of a cell, by the cell's options; β names the cell, the decoder finds it in the settings."""
    return svg(data, decoder, "fixed" if model == "svg-fp" else "learned", settings, seed)


# Of each data set: videos that an epoch of training has, and the settings.
DATA = {"bair": (43_008, BAIR), "moving_mnist": (10_000, MOVING_MNIST), "moving_digits": (2_000, MOVING_DIGITS)}
DIFFERS = {"beta": "β is SVG's own, the paper's is not said", "unit": "no density of σ = 1 has the reported figure"}

NARROWER = "an eighth of SVG's channels, half its units"


def own(cell):
    """What a cell of video has of its own: a dict of attributes of `vaekit.papers.cell.Cell`."""
    videos, settings = DATA[cell.data]
    narrow = cell.options["model"] == "svg-narrow"
    videos, settings = (2_000, NARROW) if narrow else (videos, settings)
    settings = replace(settings, beta=cell.options.get("beta", settings.beta))
    reported = {f"{name} a frame" if name == "−ELBO" else name: value for name, value in cell.reported.items()}
    measured = dict(samples=settings.samples, past=settings.past, videos=settings.videos)
    return dict(
        **dict(
            build=build,
            fit=fit,
            measure=partial(measure, settings=settings),
            settings=settings,
            quirks=None,
            reported=reported,
        ),
        **dict(epochs=schedule(videos, settings), metric=METRIC.format(**measured)),
        loading=dict(train=videos) if narrow else {},
        differs=NARROWER if narrow else DIFFERS.get(cell.options["decoder"], "") if reported else "",
    )
