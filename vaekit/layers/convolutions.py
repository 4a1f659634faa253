"""Convolutional building blocks: gated, residual, and masked ones that look at earlier pixels only."""

import keras
import numpy as np
from keras import ops

from vaekit.layers.blocks import DenseBlock, flatten


@keras.saving.register_keras_serializable("vaekit")
class GatedConv2D(DenseBlock):
    r"""Gated convolution: $(W * x + b) \odot \sigma(V * x + c)$.

    Args:
        filters: channels of the output `[B, H, W, filters]`.
        kernel_size, strides, padding: as for `keras.layers.Conv2D`.

    Source: Tomczak & Welling 2018, section 6.1 (after Dauphin et al. 2016).
    """

    convolution = keras.layers.Conv2D

    def __init__(self, filters, kernel_size, strides=1, padding="same", **kwargs):
        super().__init__(**kwargs)
        self.value, self.gate = (
            self.conv(filters, kernel_size, name, self.convolution, strides=strides, padding=padding)
            for name in ("value", "gate")
        )

    @property
    def kernel_size(self):
        return self.value.kernel_size

    def build(self, input_shape):
        self.value.build(input_shape)
        self.gate.build(input_shape)

    def call(self, inputs):
        return self.value(inputs) * ops.sigmoid(self.gate(inputs))

    def compute_output_shape(self, input_shape):
        return self.value.compute_output_shape(input_shape)

    def get_config(self):
        names = ("filters", "kernel_size", "strides", "padding")
        return {**super().get_config(), **{name: getattr(self.value, name) for name in names}}


@keras.saving.register_keras_serializable("vaekit")
class GatedConv2DTranspose(GatedConv2D):
    """`GatedConv2D` made of transposed convolutions: strides enlarge the map."""

    convolution = keras.layers.Conv2DTranspose


@keras.saving.register_keras_serializable("vaekit")
class ResidualBlock(DenseBlock):
    r"""Two convolutions and a way around them: $f(x + N(W_2 * f(N(W_1 * x))))$, f = ReLU, N batch normalization.

    Where the input has another number of channels, it passes through a 1×1 convolution.

    Args:
        filters: channels of the output `[B, H, W, filters]`.
        kernel_size: of both convolutions.

    Source: He et al. 2016; the encoder of Dieng et al. 2019 (after Kim et al. 2018) has three, each followed by a
        convolution of stride 2.
    """

    def __init__(self, filters, kernel_size=3, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.kernel_size = int(filters), kernel_size

    def build(self, input_shape):
        shape = (*input_shape[:-1], self.filters)
        self.passage = None
        if input_shape[-1] != self.filters:
            self.passage = self.conv(self.filters, 1, "passage")
            self.passage.build(input_shape)
        self.convolutions, self.normalizations = [], []
        for i, before in enumerate((input_shape, shape)):
            # without a bias, which the normalization would take out again
            self.convolutions.append(self.conv(self.filters, self.kernel_size, f"convolution_{i}", use_bias=False))
            self.normalizations.append(keras.layers.BatchNormalization(name=f"norm_{i}", dtype=self.dtype_policy))
            self.convolutions[i].build(before)
            self.normalizations[i].build(shape)

    def call(self, inputs, training=False):
        h = inputs
        for i in range(2):
            h = self.normalizations[i](self.convolutions[i](ops.relu(h) if i else h), training=training)
        return ops.relu(h + (inputs if self.passage is None else self.passage(inputs)))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "kernel_size": self.kernel_size}


def check_mask(layer, mask, kernel_size):
    """Raises ValueError unless a mask is `"A"` or `"B"`, with a kernel that has a centre."""
    if mask not in ("A", "B") or any(n % 2 == 0 or (n == 1 and mask == "A") for n in np.ravel(kernel_size)):
        raise ValueError(
            f'{layer} expects mask "A" (the first layer: without the pixel itself, kernel size 3, 5, 7…) or "B" (later '
            f"layers: with it, odd kernel size); received mask {mask!r} and kernel size {kernel_size!r}."
        )


def pad(inputs, above, left, right):
    """Pads feature maps `[B, H, W, C]` with so many rows and columns of zeros."""
    return ops.pad(inputs, ((0, 0), (above, 0), (left, right), (0, 0)))


class WindowConv2D(keras.layers.Conv2D):
    """`Conv2D` without padding, which on a window as large as its kernel is a product of matrices, `[N, F] [F, C]`."""

    def convolution_op(self, inputs, kernel):
        if tuple(inputs.shape[1:]) != tuple(kernel.shape[:3]):
            return super().convolution_op(inputs, kernel)
        product = ops.matmul(flatten(inputs), ops.reshape(kernel, (-1, kernel.shape[-1])))
        return ops.expand_dims(product, (1, 2))


@keras.saving.register_keras_serializable("vaekit")
class MaskedConv2D(WindowConv2D):
    r"""Convolution whose output at a pixel sees no later pixel in raster order: $(M \odot W) * x + b$.

    All channels of a pixel count as one: mask `"A"` hides the pixel itself, mask `"B"` shows it (in later layers, where
    it holds no more than the pixels before it). Layers of these have a blind spot: however many there are, some
    earlier pixels above and to the right are not seen; `GatedPixelConv2D` has none.

    Args:
        filters: channels of the output `[B, H, W, filters]`.
        kernel_size: odd.
        mask: `"A"` or `"B"`.
        **kwargs: as for `keras.layers.Conv2D`, without strides, padding and data format.

    Called with `padded=True` it takes the surroundings of its output from the input, not as zeros: `reach[0]` rows
    above, `reach[1]` columns on each side. So a window gives the output at one pixel.

    Source: van den Oord et al. 2016 (PixelRNN), section 3.4; Tomczak & Welling 2018, PixelHVAE.
    """

    def __init__(self, filters, kernel_size=3, mask="B", **kwargs):
        check_mask("MaskedConv2D", mask, kernel_size)
        fixed = {"padding": "valid", "strides": 1, "data_format": "channels_last"}
        super().__init__(filters, kernel_size, **{**kwargs, **fixed})
        self.mask = mask
        rows, columns = self.kernel_size
        earlier = np.arange(rows * columns).reshape(rows, columns, 1, 1) < rows * columns // 2 + (mask == "B")
        self.earlier = earlier[: rows // 2 + 1].astype("float32")
        self.reach = tuple(n // 2 * d for n, d in zip(self.kernel_size, self.dilation_rate, strict=True))

    def call(self, inputs, padded=False):
        rows, columns = self.reach
        return super().call(inputs if padded else pad(inputs, rows, columns, columns))

    def convolution_op(self, inputs, kernel):
        kernel = kernel[: len(self.earlier)] * ops.cast(self.earlier, kernel.dtype)  # no row below is seen
        return super().convolution_op(inputs, kernel)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {**super().get_config(), "mask": self.mask}


@keras.saving.register_keras_serializable("vaekit")
class GatedPixelConv2D(DenseBlock):
    r"""A layer of the gated PixelCNN, which sees all earlier pixels in raster order, without a blind spot.

    Two stacks of features: v(i, j) sees rows above i, h(i, j) all pixels before (i, j).

    $$a = W_v * x,\quad v' = \tanh a_1 \odot \sigma(a_2),\qquad
      c = W_h * x + V a,\quad h' = [h\,+]\; U(\tanh c_1 \odot \sigma(c_2))$$

    With mask `"A"`, the first layer, x is the image; $W_v$ reaches the k rows above, $W_h$ the k pixels to the left
    (kernel size 2k + 1). With mask `"B"`, later layers, x has the channels `[v | h | extra]` (extra: whatever was
    joined to the output of the layer before, such as a latent variable that enters every layer); $W_v$ acts on v and
    extra and reaches the own row too, $W_h$ on h and extra and the own pixel too; and h is added (residual).

    Args:
        filters: channels of v and of h: the output is `[v | h]`, `[B, H, W, 2·filters]`.
        kernel_size: odd, of a square.
        mask: `"A"` or `"B"`.

    `padded=True` is what it is for `MaskedConv2D`.

    Raises:
        ValueError: an unknown mask, a kernel that is no square, or an input to a layer of mask `"B"` that cannot be
            `[v | h | extra]`.

    Source: van den Oord et al. 2016 (gated PixelCNN), section 2 and figure 2.
    """

    def __init__(self, filters, kernel_size=3, mask="B", **kwargs):
        check_mask("GatedPixelConv2D", mask, kernel_size)
        super().__init__(**kwargs)
        sizes = {int(n) for n in np.ravel(kernel_size)}
        if len(sizes) > 1:
            raise ValueError(f"GatedPixelConv2D expects a square kernel, one odd number; received {kernel_size!r}.")
        self.filters, self.kernel_size, self.mask = int(filters), sizes.pop(), mask
        self.reach = (self.kernel_size // 2,) * 2  # k

    def build(self, input_shape):
        channels = input_shape[-1] - (self.filters if self.mask == "B" else 0)  # of v or h, and extra
        if self.mask == "B" and channels < self.filters:
            raise ValueError(
                f'GatedPixelConv2D({self.filters}, mask="B") expects the output [v | h] of another GatedPixelConv2D of '
                f'{self.filters} filters; received {input_shape[-1]} channels. Should it be the first, with mask="A"?'
            )
        across, down = self.kernel_size, self.reach[0] + (self.mask == "B")
        f = self.filters
        self.vertical = self.conv(2 * f, (down, across), "vertical", WindowConv2D, padding="valid")
        self.horizontal = self.conv(2 * f, (1, down), "horizontal", WindowConv2D, padding="valid")
        self.link = self.conv(2 * f, 1, "link", WindowConv2D, use_bias=False)
        self.output_map = self.conv(f, 1, "output", WindowConv2D)
        inputs = {self.vertical: channels, self.horizontal: channels, self.link: 2 * f, self.output_map: f}
        for part, n in inputs.items():
            part.build((None, None, None, n))

    def call(self, inputs, padded=False):
        f, k = self.filters, self.reach[0]
        to_v = to_h = inputs
        if self.mask == "B":
            v, h, extra = inputs[..., :f], inputs[..., f : 2 * f], inputs[..., 2 * f :]
            to_v, to_h = ops.concatenate([v, extra], axis=-1), ops.concatenate([h, extra], axis=-1)
        else:  # the last row has none below that would see it, nor has the last column one to its right
            to_v, to_h = to_v[:, :-1], to_h[:, :, :-1]
        if padded:  # what is seen lies above and to the left; columns to the right count for v alone
            to_h = to_h[:, k:, : to_h.shape[2] - k]
        else:
            to_v, to_h = pad(to_v, k, k, k), pad(to_h, 0, k, 0)
        a = self.vertical(to_v)  # [B, H, W, 2·filters]
        c = self.horizontal(to_h) + self.link(a)  # [B, H, W, 2·filters]
        new_v, new_h = (ops.tanh(t[..., :f]) * ops.sigmoid(t[..., f:]) for t in (a, c))
        new_h = self.output_map(new_h)  # [B, H, W, filters]
        if self.mask == "B":
            new_h = new_h + (h[:, k:, k : h.shape[2] - k] if padded else h)
        return ops.concatenate([new_v, new_h], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 2 * self.filters)

    def get_config(self):
        config = {"filters": self.filters, "kernel_size": self.kernel_size, "mask": self.mask}
        return {**super().get_config(), **config}
