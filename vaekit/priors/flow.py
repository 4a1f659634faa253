"""A flow: noise through invertible layers."""

import keras
import numpy as np
from keras import ops

from vaekit.backend import integer_seed, tfd, tfp
from vaekit.batches import check_counts
from vaekit.priors.prior import Prior


@keras.saving.register_keras_serializable("vaekit")
class RealNVP(Prior):
    r"""A flow: standard normal noise ε through K affine couplings, each of which changes one half of the coordinates.

    $(a, b) \mapsto (a,\ b \odot e^{s_k(a)} + t_k(a))$, then the order of coordinates is reversed, so that the next
    coupling changes others. $\log p(z) = \log \mathcal N(\varepsilon; 0, I) - \sum_k \sum_d s_k(a_k)_d$. The functions
    $t_k$ and $s_k \in (-1, 1)$ are networks with one hidden layer; they start at 0, and the prior at N(0, I).

    ```python
    vae = vk.VAE(encoder, decoder, prior=vk.priors.RealNVP(couplings=4, units=64))
    ```

    Its KL has no closed form: objectives estimate it (`ELBO(analytic_kl=False)`, which is the default).

    Args:
        couplings: K.
        units: of each hidden layer.
        event_shape: as for `Prior`, an int of at least 2.
        seed: integer for the start.

    Raises:
        ValueError: a latent that is no vector of at least two numbers.

    Source: Dinh et al. 2017, eqs. 7 and 8; as a prior, Chen et al. 2017.
    """

    def __init__(self, couplings=4, units=64, event_shape=None, seed=None, **kwargs):
        check_counts("RealNVP", couplings=couplings, units=units)
        self.couplings, self.units = int(couplings), int(units)
        self.seed = None if seed is None else integer_seed(seed)
        super().__init__(event_shape, **kwargs)

    def build(self, input_shape):
        if len(input_shape) != 1 or input_shape[0] < 2:
            raise ValueError(
                f"RealNVP expects a latent that is a vector of at least two numbers, [2] say, since half of them "
                f"change the others; received the shape {list(input_shape)}."
            )
        kept = input_shape[0] // 2
        self.networks = [self._network(i, kept, 2 * (input_shape[0] - kept)) for i in range(self.couplings)]
        super().build(input_shape)

    def _network(self, i, inputs, outputs):
        """The network of s and t of a coupling, from the half that it keeps."""
        start = keras.initializers.GlorotUniform(seed=None if self.seed is None else self.seed + i)
        return keras.Sequential(
            [
                keras.Input((inputs,)),
                keras.layers.Dense(self.units, "relu", kernel_initializer=start, dtype=self.dtype_policy),
                keras.layers.Dense(outputs, kernel_initializer="zeros", dtype=self.dtype_policy),
            ],
            name=f"coupling_{i}",
        )

    def distribution(self):
        size, steps = self.shape[0], []
        for network in self.networks:
            steps += [_coupling(network, size // 2), tfp.bijectors.Permute(np.arange(size)[::-1].astype("int32"))]
        zeros = ops.zeros(self.shape, "float32")
        noise = self.independent(tfd.Normal(zeros, ops.ones_like(zeros)))
        return tfd.TransformedDistribution(noise, tfp.bijectors.Chain(steps))

    def get_config(self):
        return {**super().get_config(), **{name: getattr(self, name) for name in ("couplings", "units", "seed")}}


def _coupling(network, kept):
    r"""One step of a flow: $(a, b) \mapsto (a, b e^{\tanh v} + u)$ with (u, v) the network's answer to a."""

    def shift_and_log_scale(a, *sizes):
        answers = network(ops.reshape(a, (-1, kept)))  # rows, of whatever batch
        u, v = ops.split(ops.reshape(answers, (*ops.shape(a)[:-1], -1)), 2, axis=-1)
        return u, ops.tanh(v)

    return tfp.bijectors.RealNVP(num_masked=kept, shift_and_log_scale_fn=shift_and_log_scale)
