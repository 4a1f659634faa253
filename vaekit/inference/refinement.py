r"""Semi-amortized inference: an encoder's posterior, refined by gradient steps for each example."""

from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple

import keras
from keras import ops

from vaekit import backend
from vaekit.models.factors import output_layer
from vaekit.models.given import Given
from vaekit.objectives.base import beta_at
from vaekit.objectives.state import deserialize, serialize


class Refined(NamedTuple):
    """The state of a refinement.

    Attributes:
        offsets: λ − λ(x), dict by latent of dicts of tensors `[B, ...]` by parameter.
        velocity: v, list of tensors `[B, ...]`.
    """

    offsets: dict
    velocity: list


@keras.saving.register_keras_serializable("vaekit")
@dataclass
class Refinement:
    r"""Semi-amortized inference: gradient steps on the posterior's parameters, from where the encoder puts them.

    ```python
    vae = vk.VAE(encoder, decoder, refinement=vk.inference.Refinement(steps=10))
    ```

    The parameters λ of q(z; λ), the heads' outputs, start at λ(x). Each step ascends the bound at a draw of the noise,
    each example for itself: $v \leftarrow \mu v + \mathrm{clip}(\nabla_\lambda \mathcal L)$,
    $\lambda \leftarrow \lambda + \eta v$. A model with a refinement has this posterior in all it does: training, which
    differentiates through the steps, evaluation, encoding. (The bound is then taken at fresh noise: at the noise that
    λ was fitted to it would be no bound.)

    Args:
        steps: T.
        learning_rate: η.
        momentum: μ.
        clip: greatest norm of an example's gradient, over all of its parameters; None: no clipping.
        samples: of z for an example, in each step.
        beta: weight of the KL while refining: a number, or a schedule of the step such as `WarmUp`.
        fresh_noise: whether each step draws new noise (Kim et al.'s code), or all of them share one draw.
        through: whether training differentiates through the steps, as semi-amortized inference does; without, the
            encoder learns from the bound at the refined λ as if the steps had added constants ("VAE + SVI").

    Raises:
        ValueError: settings out of range; when called, a posterior network whose distribution layer is not found.

    Source: Kim et al. 2018, algorithm 1; Dieng et al. 2019, section 5.3.
    """

    steps: int = 20
    learning_rate: float = 1.0
    momentum: float = 0.5
    clip: float | None = 5.0
    samples: int = 1
    beta: Any = 1.0
    fresh_noise: bool = False
    through: bool = True

    def __post_init__(self):
        if not (isinstance(self.steps, Integral) and self.steps >= 1 and self.samples >= 1):
            raise ValueError(f"Refinement expects at least one step and one sample; received {self}.")
        if not (self.learning_rate > 0 and 0 <= self.momentum < 1 and (self.clip is None or self.clip > 0)):
            raise ValueError(
                f"Refinement expects learning_rate > 0, momentum in [0, 1) and clip > 0 (or None); received {self}."
            )

    def __call__(self, model, data, seed, training=False):
        """Computes offsets of the posterior's parameters: dict by latent of dicts of tensors `[B, ...]`.

        Args:
            model: a `LatentVariableModel`.
            data: dict of observed tensors `[B, ...]`.
            seed: of the noise, from `vaekit.backend.seed`.
            training: training mode of layers such as dropout.
        """
        beta = beta_at(model.step, self.beta)
        values = [(v, ops.convert_to_tensor(v)) for v in model.variables]
        with backend.Scope(values):  # drops layers' updates
            given = Given(model, data, training)

        def step(i, state):
            noise = backend.fold_in(seed, i) if self.fresh_noise else seed

            def bound(offsets):
                with backend.Scope(values):
                    trace = given.refined(offsets).draw(self.samples, seed=noise)
                return ops.mean(trace.weighted(beta), axis=0)  # [S, B] to [B]

            return self.step(bound, state)

        start = self.init(model, ops.shape(next(iter(data.values())))[0])
        offsets = ops.fori_loop(0, self.steps, step, start).offsets
        return offsets if self.through else keras.tree.map_structure(ops.stop_gradient, offsets)

    def init(self, model, n):
        """Starts n examples where the encoder puts them."""
        shapes = {factor.name: self._shapes(factor) for factor in model.inference}
        offsets = keras.tree.map_shape_structure(lambda shape: ops.zeros((n, *shape), "float32"), shapes)
        return Refined(offsets, [ops.zeros_like(offset) for offset in keras.tree.flatten(offsets)])

    def step(self, bound, state):
        """Makes a step up a bound, a function of offsets that returns one `[B]` for each example."""

        def of_parts(*parts):
            return bound(keras.tree.pack_sequence_as(state.offsets, parts))

        parts = keras.tree.flatten(state.offsets)  # λ − λ(x), [B, ...]
        _, gradient = backend.value_and_gradient(of_parts, *parts)  # of the sum: examples do not know each other
        velocity = [self.momentum * v + g for v, g in zip(state.velocity, self._clipped(gradient), strict=True)]
        parts = [p + self.learning_rate * v for p, v in zip(parts, velocity, strict=True)]
        return Refined(keras.tree.pack_sequence_as(state.offsets, parts), velocity)

    def _shapes(self, factor):
        """Shapes of the parameters of a factor of q: dict of tuples by name."""
        layer = output_layer(factor.layer)
        if layer is None:
            raise ValueError(
                f"Refinement moves the parameters of a distribution layer, but the network of {factor.name!r} "
                f"({factor.layer.name}) does not show one at its end. Use a Sequential or functional network."
            )
        return layer.parameter_shapes()

    def _clipped(self, gradient):
        """Clips each example's gradient, over all parameters `[B, ...]` in a list, to the norm `clip`."""
        if self.clip is None:
            return gradient
        squares = sum(ops.sum(ops.reshape(g * g, (ops.shape(g)[0], -1)), axis=1) for g in gradient)  # [B]
        factor = ops.minimum(1.0, self.clip * ops.rsqrt(ops.maximum(squares, 1e-20)))  # [B]
        return [g * ops.reshape(factor, (-1, *(1 for _ in g.shape[1:]))) for g in gradient]

    def get_config(self):
        return {**vars(self), "beta": serialize(self.beta)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "beta": deserialize(config["beta"])})
