"""Autoregressive likelihoods: networks that look at earlier pixels, as distributions."""

import math

import keras
import numpy as np
from keras import ops

from vaekit import backend
from vaekit.backend import tfd, tfp
from vaekit.layers.blocks import float32_by_default
from vaekit.layers.convolutions import GatedConv2D, GatedPixelConv2D, MaskedConv2D
from vaekit.layers.distribution import DistributionLayer
from vaekit.layers.stacks import ELEMENTWISE, Stack, shapes_of


class AutoregressiveDistribution(tfd.Distribution):
    r"""Images pixel by pixel, or sequences word by word: $p(x|z) = \prod_i p(x_i \mid x_{<i}, z)$.

    Args:
        network: the layer, `Autoregressive` say, that gives p(x_i | x_{<i}, z) for all i at once, by `conditional`, and
            draws by `draw`. The distribution keeps the values that its variables have now.
        context: list of tensors z, each `[B, ...]`.
        training: training mode of the network when a density is computed; it samples in inference mode.
    """

    def __init__(self, network, context, training=False, name="Autoregressive"):
        self.network, self.context, self.training = network, context, training
        self.values = [ops.copy(variable) for variable in network.variables]
        super().__init__(np.float32, tfd.NOT_REPARAMETERIZED, validate_args=False, allow_nan_stats=True, name=name)

    def _batch_shape(self):
        return self.context[0].shape[:1]

    def _batch_shape_tensor(self):
        return ops.shape(self.context[0])[:1]

    def _event_shape(self):
        return self.network.head.event_shape

    def _event_shape_tensor(self):
        return self.network.head.event_shape

    def _tiled(self, batch):
        """Repeats the context for images of a batch shape `[..., B]`, whose axes become one."""
        tiled = [ops.broadcast_to(z, (*batch, *z.shape[1:])) for z in self.context]  # [..., B, ...]
        # N by name: -1 stands for nothing where z has no channels
        return [ops.reshape(z, (math.prod(batch), *z.shape[len(batch) :])) for z in tiled]  # [N, ...]

    def _log_prob(self, x):
        axes = len(self.network.head.event_shape)
        x = x + ops.zeros((ops.shape(self.context[0])[0], *[1] * axes), x.dtype)  # [..., B, H, W, C]
        batch = ops.shape(x)[:-axes]
        x = ops.reshape(x, (-1, *ops.shape(x)[-axes:]))  # [N, H, W, C]
        with backend.Scope(zip(self.network.variables, self.values, strict=True)) as scope:
            log_prob = self.network.conditional(x, self._tiled(batch), self.training).log_prob(x)  # [N]
        for variable in self.network.non_trainable_variables if self.training else ():
            variable.assign(scope.get_current_value(variable))
        for loss in scope.losses:  # of activity regularizers, say
            self.network.add_loss(loss)
        return ops.reshape(log_prob, batch)

    def _sample_n(self, n, seed=None):
        batch = (n, ops.shape(self.context[0])[0])
        # no gradient passes through a sample
        values, context = ([ops.stop_gradient(t) for t in tensors] for tensors in (self.values, self._tiled(batch)))
        x = ops.stop_gradient(self.network.draw(values, context, tfp.random.sanitize_seed(seed)))  # [n·B, H, W, C]
        return ops.reshape(x, (*batch, *self.network.head.event_shape))


@keras.saving.register_keras_serializable("vaekit")
class Autoregressive(Stack):
    r"""PixelCNN decoder: $p(x|z) = \prod_i p(x_i \mid x_{<i}, z)$ over the pixels of an image in raster order.

    The layers run on image and context together, $h_0 = x \oplus z$, and end in a distribution layer, which at each
    pixel has the features of that pixel alone; masked layers see to it that these come from earlier pixels. With
    `skip=True` z enters every layer, the last one too; x never enters again. (Mask `"A"` takes z as it takes x, at
    earlier pixels: without skips the first pixel does not depend on z.)

    ```python
    decoder = vk.layers.Autoregressive(
        [vk.layers.GatedPixelConv2D(32, mask="A"), *(vk.layers.GatedPixelConv2D(32) for _ in range(8)),
         vk.layers.Bernoulli((28, 28, 1))])
    ```

    Called on z (a tensor or a list of them: vectors, or maps as large as the image) it returns a distribution with
    batch shape `[B]`. A density costs one run of the network, a sample about as many operations: one compiled loop,
    in which each layer does the new pixel's work alone. It has no mean in closed form.

    Args:
        layers: list of `MaskedConv2D` or `GatedPixelConv2D`, the first with mask `"A"`; 1×1 convolutions and
            elementwise layers (activations, batch normalization, dropout) between them; last a distribution layer.
        skip: whether z enters every layer.

    Raises:
        ValueError: layers that would let a pixel see itself or later ones.

    Source: van den Oord et al. 2016; Tomczak & Welling 2018 (PixelHVAE); Dieng et al. 2019 (skip connections).
    """

    def __init__(self, layers, skip=False, **kwargs):
        super().__init__(layers, skip, **float32_by_default(kwargs))  # the layers have dtypes of their own
        self.head = self.layers[-1]
        if not isinstance(self.head, DistributionLayer) or len(self.head.event_shape) != 3:
            raise ValueError(
                "The last layer of Autoregressive should be a distribution layer over images, such as "
                f"Bernoulli((28, 28, 1)); received {self.head!r}."
            )
        if self.head.missing:
            raise ValueError(
                "Autoregressive predicts a pixel from those before it, which a missing one cannot serve: "
                f"{type(self.head).__name__} should not be its last layer."
            )
        check_causality(self.layers[:-1])

    def build(self, input_shape):
        z = shapes_of(input_shape)
        self.build_layers([(z[0][0], *self.head.event_shape), *z], z if self.skip else [])
        if not all(self.head.local.values()):
            raise ValueError(
                f"Every parameter of {type(self.head).__name__} at a pixel should come from the features of that pixel "
                f"alone, which needs a feature map as large as the image, {self.head.event_shape[:2]}, and a parameter "
                "for each pixel, not one for the image."
            )
        # one program for all draws: on TensorFlow a loop outside a program is one in Python
        self.draw = backend.compile(self._draw, differentiable=True)

    def call(self, inputs, training=False):
        context = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        return AutoregressiveDistribution(self, context, training)

    def conditional(self, x, z, training=False):
        """Computes p(x_i | x_{<i}, z) for all pixels i at once, from images `[N, H, W, C]` and a list of z `[N, ...]`.

        Returns: the last layer's `tfd.Distribution`, batch shape `[N]`.
        """
        return self.forward([x, *z], z if self.skip else [], training)

    def _draw(self, values, z, seed):
        """Draws images `[N, H, W, C]`, given values of the variables, and a list of tensors z `[N, ...]`."""
        rows, columns, _ = self.head.event_shape
        seeds = ops.stack(tfp.random.split_seed(seed, rows * columns))
        with backend.Scope(zip(self.variables, values, strict=True)):
            sampler = PixelSampler(self, z)

            def draw_row(i, state):
                def draw_pixel(j, state):
                    image, cache = state
                    cache, x = sampler.draw(cache, i, j, seeds[i * columns + j])  # [N, 1, 1, C]
                    return ops.slice_update(image, (0, i, j, 0), x), cache

                image, cache = state
                return ops.fori_loop(0, columns, draw_pixel, (image, sampler.start_row(cache, i)))

            start = sampler.zeros(rows, columns), sampler.empty_cache()
            image, _ = ops.fori_loop(0, rows, draw_row, start)  # [N, H, W, C]
        return image


# Layers with the same weights at all places, whose output at a pixel comes from that pixel alone, or from a window that
# ends there. Any other, such as a user's, runs on the whole map for each pixel: slower, with the same result.
PIXELWISE = {*ELEMENTWISE, keras.layers.Dense, keras.layers.Conv2D, GatedConv2D} - {keras.layers.PReLU}
WINDOWED = {MaskedConv2D, GatedPixelConv2D}


class PixelSampler:
    r"""Draws pixels from an `Autoregressive` network: each layer computes one pixel's features, from cached ones.

    For each layer that sees other pixels, `cache` has the part of its input that pixels to come will see. A layer in
    `WINDOWED` with reach k needs the last k + 1 rows, zeros beside them: `[N, k + 1, W + 2k, C]`. On the window of
    2k + 1 columns around the new pixel it gives the features of that pixel.

    Those windows include columns to the right, where `GatedPixelConv2D` has features v of rows above. So at the start
    of a row all layers run on the row as a whole, with pixels of 0. That makes v right, and what is wrong, since it
    depends on the row's pixels, is seen by none before it is written over, pixel by pixel.

    Args:
        network: `Autoregressive`, built.
        z: list of tensors `[N, ...]`.
    """

    def __init__(self, network, z):
        self.layers, self.head, self.widths = network.layers[:-1], network.head, network.widths
        self.image, self.n, self.dtype = network.head.event_shape, ops.shape(z[0])[0], network.compute_dtype
        self.first = next(i for i, layer in enumerate(self.layers) if not isinstance(layer, ELEMENTWISE))
        # joined to features without channels: z's part of each layer's input, [N, H, W, channels]
        empty = ops.zeros((self.n, *self.image[:2], 0), self.dtype)
        skips = z if network.skip else []
        inputs = [network.layer_inputs(i, empty, [empty, *z], skips) for i in range(len(network.joins))]
        self.context = [join(tensors) for join, tensors in zip(network.joins, inputs, strict=True)]

    def zeros(self, rows, columns):
        """Pixels of 0, `[N, rows, columns, C]`."""
        return ops.zeros((self.n, rows, columns, self.image[-1]), self.dtype)

    def empty_cache(self):
        """The cache before the first pixel: dict of zeros by the layers' numbers."""
        rows, columns, _ = self.image
        cache = {}
        for i, layer in enumerate(self.layers):
            if type(layer) in WINDOWED:
                above, beside = layer.reach
                cache[i] = ops.zeros((self.n, above + 1, columns + 2 * beside, self.widths[i]), self.dtype)
            elif not is_pixelwise(layer):
                cache[i] = ops.zeros((self.n, rows, columns, self.widths[i]), self.dtype)
        return cache

    def start_row(self, cache, row):
        """Returns the cache at the start of a row: the topmost row leaves it, the new one enters."""
        for i in cache:
            if type(self.layers[i]) in WINDOWED:
                cache = {**cache, i: ops.pad(cache[i][:, 1:], ((0, 0), (0, 1), (0, 0), (0, 0)))}
        return self.forward(self.layers, cache, self.zeros(1, self.image[1]), row, 0)[0]

    def forward(self, layers, cache, h, row, column):
        """Computes the first layers' output for an input `[N, 1, columns, C]` at this row, from this column on.

        Returns: the cache, with the features of these pixels; and the output `[N, 1, columns, C]`.
        """
        cache, columns = dict(cache), h.shape[2]
        for i, layer in enumerate(layers):
            h = self.join(i, h, row, column)  # [N, 1, columns, C]
            if type(layer) in WINDOWED:
                above, beside = layer.reach
                # [N, above + 1, W + 2·beside, C]
                cache[i] = ops.slice_update(cache[i], (0, above, beside + column, 0), h)
                h = layer(self.crop(cache[i], 0, column, above + 1, columns + 2 * beside), padded=True)
            elif is_pixelwise(layer):
                h = layer(h)
            else:
                cache[i] = ops.slice_update(cache[i], (0, row, column, 0), h)  # [N, H, W, C]
                h = self.crop(layer(cache[i]), row, column, 1, columns)
            h = ops.cast(h, self.dtype)  # [N, 1, columns, C]
        return cache, h

    def draw(self, cache, row, column, seed):
        """Draws a pixel. Returns: the cache, with this pixel, and its value `[N, 1, 1, C]`."""
        cache, h = self.forward(self.layers, cache, self.zeros(1, 1), row, column)
        h = self.join(len(self.layers), h, row, column)  # [N, 1, 1, C]
        if getattr(self.head.distribution, "pixelwise", False):
            x = ops.cast(self.head(h).sample(seed=seed), self.dtype)
        else:  # an image where all pixels have these features
            h = ops.broadcast_to(h, (self.n, *self.image[:2], h.shape[-1]))  # [N, H, W, C]
            x = self.crop(ops.cast(self.head(h).sample(seed=seed), self.dtype), row, column, 1, 1)
        cache, _ = self.forward(self.layers[: self.first + 1], cache, x, row, column)
        return cache, x

    def join(self, i, h, row, column):
        """Joins features `[N, 1, columns, C]` with z's part of layer i's input there."""
        context = self.context[i]
        if context.shape[-1] == 0:
            return h
        return ops.concatenate([h, self.crop(context, row, column, 1, h.shape[2])], axis=-1)

    def crop(self, features, row, column, rows, columns):
        """Cuts `[N, rows, columns, C]` out of a map `[N, H, W, C]`, from a row and a column on."""
        return ops.slice(features, (0, row, column, 0), (self.n, rows, columns, features.shape[-1]))


def is_pixelwise(layer):
    """Returns whether a causal layer that is not masked is known to treat each pixel alone, and all of them alike."""
    return type(layer) in PIXELWISE and getattr(layer, "axis", -1) in (-1, 3)  # batch normalization's axis


def check_causality(layers):
    """Raises ValueError unless features come from earlier pixels in raster order only."""
    before = None  # the last layer with weights between pixels or channels
    for layer in layers:
        if isinstance(layer, ELEMENTWISE):
            continue
        mask = getattr(layer, "mask", None)
        pointwise = isinstance(layer, keras.layers.Dense) or (
            isinstance(layer, (keras.layers.Conv2D, GatedConv2D)) and tuple(layer.kernel_size) == (1, 1)
        )
        if before is None:
            causal = mask == "A"
        elif isinstance(layer, GatedPixelConv2D) and mask == "B":
            causal = isinstance(before, GatedPixelConv2D) and before.filters == layer.filters
        else:
            causal = pointwise or mask in ("A", "B")
        if not causal:
            raise ValueError(
                f"{type(layer).__name__} (layer {layer.name!r}) may let a pixel see itself or later ones. "
                'Autoregressive expects a first MaskedConv2D or GatedPixelConv2D with mask="A", then such layers with '
                'mask="B", 1×1 convolutions and elementwise layers; a GatedPixelConv2D with mask="B" follows one with '
                "as many filters."
            )
        before = layer
    if before is None:
        raise ValueError('Autoregressive expects a MaskedConv2D or GatedPixelConv2D with mask="A" as its first layer.')
