"""Autoregressive likelihoods of images: networks that look at earlier pixels, as distributions."""

import keras
import numpy as np
from keras import ops

from vaekit import backend
from vaekit.backend import tfd, tfp
from vaekit.layers.convolutions import GatedConv2D, GatedPixelConv2D
from vaekit.layers.distribution import DistributionLayer
from vaekit.layers.stacks import ELEMENTWISE, Stack, shapes_of


class AutoregressiveDistribution(tfd.Distribution):
    r"""Images pixel by pixel: $p(x|z) = \prod_i p(x_i \mid x_{<i}, z)$, i in raster order.

    Args:
        network: the `Autoregressive` layer that gives p(x_i | x_{<i}, z) for all i at once. The distribution keeps
            the values that its variables have now.
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
        # [B, ...] to [..., B, ...] with the given batch, folded to one axis
        tiled = [ops.broadcast_to(z, (*batch, *z.shape[1:])) for z in self.context]
        return [ops.reshape(z, (-1, *z.shape[len(batch) :])) for z in tiled]

    def _log_prob(self, x):
        x = x + ops.zeros((ops.shape(self.context[0])[0], 1, 1, 1))
        batch = ops.shape(x)[:-3]
        x = ops.reshape(x, (-1, *self.network.head.event_shape))
        with keras.StatelessScope(list(zip(self.network.variables, self.values, strict=True))) as scope:
            log_prob = self.network.conditional(x, self._tiled(batch), self.training).log_prob(x)
        for variable in self.network.non_trainable_variables if self.training else ():
            variable.assign(scope.get_current_value(variable))
        return ops.reshape(log_prob, batch)

    def _sample_n(self, n, seed=None):
        batch = (n, ops.shape(self.context[0])[0])
        x = self.network.draw(self.values, self._tiled(batch), tfp.random.sanitize_seed(seed))
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
    batch shape `[B]`. A density costs one run of the network, a sample one for each pixel, in one compiled loop. It
    has no mean in closed form.

    Args:
        layers: list of `MaskedConv2D` or `GatedPixelConv2D`, the first with mask `"A"`; 1×1 convolutions and
            elementwise layers (activations, batch normalization, dropout) between them; last a distribution layer.
        skip: whether z enters every layer.

    Raises:
        ValueError: layers that would let a pixel see itself or later ones.

    Source: van den Oord et al. 2016; Tomczak & Welling 2018 (PixelHVAE); Dieng et al. 2019 (skip connections).
    """

    def __init__(self, layers, skip=False, **kwargs):
        kwargs["dtype"] = kwargs.get("dtype") or "float32"  # as distribution layers; the layers have their own
        super().__init__(layers, skip, **kwargs)
        self.head = self.layers[-1]
        if not isinstance(self.head, DistributionLayer) or len(self.head.event_shape) != 3:
            raise ValueError(
                "The last layer of Autoregressive should be a distribution layer over images, such as "
                f"Bernoulli((28, 28, 1)); received {self.head!r}."
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
        self.draw = backend.compile(self._draw)

    def call(self, inputs, training=False):
        context = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        return AutoregressiveDistribution(self, context, training)

    def conditional(self, x, z, training=False):
        """p(x_i | x_{<i}, z) for all pixels i at once, given images `[N, H, W, C]` and a list of tensors z `[N, ...]`.

        Returns: the last layer's `tfd.Distribution`, batch shape `[N]`.
        """
        return self.run([x, *z], z if self.skip else [], training)

    def _draw(self, values, z, seed):
        """Images `[N, H, W, C]`, given values of the variables, and a list of tensors z `[N, ...]`."""
        rows, columns, _ = self.head.event_shape
        place = ops.reshape(ops.arange(rows * columns), (rows, columns, 1))
        seeds = ops.stack(tfp.random.split_seed(seed, rows * columns))

        def pixel(i, x):
            with keras.StatelessScope(list(zip(self.variables, values, strict=True))):
                drawn = self.conditional(x, z).sample(seed=seeds[i])
            return ops.where(place == i, ops.stop_gradient(ops.cast(drawn, x.dtype)), x)

        return ops.fori_loop(0, rows * columns, pixel, ops.zeros((ops.shape(z[0])[0], *self.head.event_shape)))


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
