"""Networks at every step of a sequence, and distributions over sequences, step by step."""

from numbers import Integral

import keras
from keras import ops

from vaekit import backend
from vaekit.backend import tfd
from vaekit.layers.density import Mean
from vaekit.layers.distribution import DistributionLayer, origin_of, output_spec, remember
from vaekit.layers.stacks import Stack, shapes_of
from vaekit.layers.variational import VariationalWeights


@backend.converts_to_mean
class OverTime(Mean, tfd.Distribution):
    r"""Sequences whose steps are independent: $p(x) = \prod_t p_t(x_t)$, batch shape `[N]`, events `[T, ...]`.

    What makes the steps depend on each other (earlier ones, in a network that sees the past) is in the parameters.

    Args:
        steps: the steps' distribution, batch shape `[N·(T − known)]`; or `[]`, the same for all steps, of which then
            a sequence of any length is made.
        like: tensor `[N, T, ...]`, whose first two axes say how many there are; for `[]` the shape `[T]`.
        known: how many steps at the beginning are given: they have no density, draws and means have zeros there.
    """

    def __init__(self, steps, like, known=0, name="OverTime"):
        self.steps, self.like, self.known = steps, like, known
        self.same = len(steps.batch_shape) == 0  # for all steps, and no rows
        super().__init__(
            steps.dtype, steps.reparameterization_type, validate_args=False, allow_nan_stats=True, name=name
        )

    @property
    def length(self):
        return self.like[0] if self.same else self.like.shape[1]

    def _batch_shape(self):
        return self.steps.batch_shape if self.same else self.like.shape[:1]

    def _batch_shape_tensor(self):
        return ops.convert_to_tensor((), "int32") if self.same else ops.shape(self.like)[:1]

    def _event_shape(self):
        return (self.length, *self.steps.event_shape)

    def _event_shape_tensor(self):
        return self._event_shape()

    def log_prob_steps(self, x):
        """log p(x_t) of each step, `[..., N, T]` in nats, of sequences `[..., N, T, ...]`; 0 where they are known."""
        event = len(self.steps.event_shape)
        paid = x[(..., slice(self.known, None), *[slice(None)] * event)]
        shape = ops.shape(paid)
        outer, tail = shape[: len(shape) - event], shape[len(shape) - event :]  # [..., N, T − known], [...]
        if not self.same:  # [..., N·(T − known), ...]
            paid = ops.reshape(paid, (*outer[:-2], -1, *tail))
        return self._padded(ops.reshape(self.steps.log_prob(paid), outer), -1)

    def kl_steps(self, other):
        """KL(p_t ‖ other_t) of each step, `[N, T]`, in nats, in closed form; 0 at those that are known.

        Raises:
            ValueError: distributions of which other steps are known.
            NotImplementedError: no closed form is known.
        """
        if self.known != other.known:
            raise ValueError(
                f"Of one distribution {self.known} steps are known, of the other {other.known}: give both "
                "TimeDistributed(..., known=...) the same number."
            )
        return self._padded(self._rows(tfd.kl_divergence(self.steps, other.steps)), -1)

    def _padded(self, value, axis):
        """Puts zeros before the steps along an axis, for those that are known."""
        if not self.known:
            return value
        pad = [(0, 0)] * len(value.shape)
        pad[axis] = (self.known, 0)
        return ops.pad(value, pad)

    def _rows(self, value):
        """Reshapes the steps' `[N·(T − known), ...]` to `[N, T − known, ...]`."""
        return ops.reshape(value, (-1, self.length - self.known, *ops.shape(value)[1:]))

    def _whole(self, value):
        """Reshapes a moment of the steps to that of sequences, `[N, T, ...]`."""
        if self.same:
            value = ops.broadcast_to(value, (self.length - self.known, *value.shape))
            return self._padded(value, 0)
        return self._padded(self._rows(value), 1)

    def _log_prob(self, x):
        return ops.sum(self.log_prob_steps(x), axis=-1)

    def _sample_n(self, n, seed=None):
        if self.same:
            return self._padded(self.steps.sample((n, self.length - self.known), seed=seed), 1)
        x = self.steps.sample(n, seed=seed)  # [n, N·(T − known), ...]
        x = ops.reshape(x, (n, -1, self.length - self.known, *ops.shape(x)[2:]))
        return self._padded(x, 2)

    def _mean(self):
        return self._whole(self.steps.mean())

    def _mode(self):
        return self._whole(self.steps.mode())

    def _stddev(self):
        return self._whole(self.steps.stddev())

    def _variance(self):
        return self._whole(self.steps.variance())

    def _entropy(self):
        entropy = self.steps.entropy()
        return entropy * (self.length - self.known) if self.same else ops.sum(self._rows(entropy), axis=-1)


@tfd.RegisterKL(OverTime, OverTime)
def _kl(a, b, name=None):
    return ops.sum(a.kl_steps(b), axis=-1)


@keras.saving.register_keras_serializable("vaekit")
class TimeDistributed(keras.layers.Layer):
    r"""The same network at every step of a sequence: $h_t = f(x_t)$, or $p(x) = \prod_t p(x_t | f(h_t))$.

    Time becomes part of the batch, so that the network runs once, on all frames of all sequences. If it ends in a
    distribution layer (any: a likelihood of images describes a frame), the result is a distribution over sequences.
    Like this end the networks of all factors that see the past, see `vaekit.past`.

    ```python
    frames = vk.layers.TimeDistributed(keras.Sequential([keras.layers.Conv2D(32, 4, 2), keras.layers.Flatten()]))
    posterior = keras.Sequential([keras.layers.LSTM(128, return_sequences=True),
                                  vk.layers.TimeDistributed(vk.layers.DiagonalNormal(10))])
    ```

    In training, batch normalization inside takes its mean over later frames, too: there alone a step sees them.

    Called on `[B, T, ...]`, or a list of such tensors for a network of several inputs; T may differ from call to call.
    A network with several outputs gives a list of them.

    Args:
        network: a layer or model.
        known: number of steps at the beginning that are given, such as the first frame of a video that is to be
            continued: they have no density, so cost nothing, and are not drawn. For distributions alone.

    Raises:
        ValueError: what is no layer, tensors that are no sequences, or as many steps known as there are.
    """

    shorter = True

    def __init__(self, network, known=0, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(network, keras.layers.Layer):
            raise ValueError(f"TimeDistributed expects a Keras layer or model; received {network!r}.")
        if not (isinstance(known, Integral) and known >= 0):
            raise ValueError(f"known is a number of steps, 0 or more; received {known!r}.")
        self.network, self.known = network, int(known)

    def build(self, input_shape):
        shapes = shapes_of(input_shape)
        self.built_length = shapes[0][1]
        output_spec(self.network, self._step_inputs(shapes))  # builds it

    @property
    def head(self):
        """The distribution layer that the network ends in; None: not to be found."""
        return output_layer(self.network)

    def parameter_shapes(self):
        """Shapes of the parameters of all steps that are not known, of sequences as long as those it was built for."""
        if self.built_length is None:
            raise ValueError(
                "A refinement fits the parameters of each step, and needs to know how many there are: build the model "
                "by their number, model.build((None, T, ...))."
            )
        rows = self.built_length - self.known
        return {name: (rows, *shape) for name, shape in self.head.parameter_shapes().items()}

    def _step_inputs(self, shapes):
        """Returns symbolic inputs of the network, from shapes of sequences."""
        if wrong := [shape for shape in shapes if len(shape) < 3]:
            raise ValueError(
                f"TimeDistributed expects sequences [B, T, ...]; received shapes {wrong}. A vector for all steps joins "
                "them by vaekit.layers.Stack(..., over_time=True)."
            )
        steps = [keras.KerasTensor((None, *shape[2:]), "float32") for shape in shapes]
        return steps if len(steps) > 1 else steps[0]

    def call(self, inputs, training=False):
        return self.over_steps(inputs, self.known, training)

    def at_step(self, inputs, training=False):
        """Runs on a single step, `[B, 1, ...]`, none of which is known."""
        return self.over_steps(inputs, 0, training)

    def over_steps(self, inputs, known, training):
        """Runs on sequences `[B, T, ...]`, of which a number of steps is known."""
        tensors = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        length = tensors[0].shape[1]
        if known and known >= length:
            raise ValueError(f"{known} steps are known, of {length}: there is nothing left to describe.")
        folded = [ops.reshape(t[:, known:], (-1, *t.shape[2:])) for t in tensors]  # [B·(T − known), ...]
        output = self.network(folded if len(folded) > 1 else folded[0], training=training)
        if isinstance(output, tfd.Distribution):
            return self._described(output, tensors[0], known)
        if known:
            raise ValueError("TimeDistributed(known=...) is for a network that ends in a distribution layer.")
        return keras.tree.map_structure(lambda t: ops.reshape(t, (-1, length, *t.shape[1:])), output)

    def _described(self, steps, like, known):
        distribution = OverTime(steps, like, known)
        if origin_of(steps) is not None:
            layer, parameters = origin_of(steps)
            rows = {name: ops.reshape(v, (-1, like.shape[1] - known, *v.shape[1:])) for name, v in parameters.items()}
            remember(distribution, _Steps(layer, like, known), rows)  # parameters [B, T − known, ...]
        return distribution

    def compute_output_spec(self, inputs, **kwargs):
        tensors = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        outputs = output_spec(self.network, self._step_inputs([tuple(t.shape) for t in tensors]))
        rows = tensors[0].shape[:2]
        return keras.tree.map_structure(lambda o: keras.KerasTensor((*rows, *o.shape[1:]), self.compute_dtype), outputs)

    def compute_output_shape(self, input_shape):
        spec = self.compute_output_spec([keras.KerasTensor(shape) for shape in shapes_of(input_shape)])
        return keras.tree.map_structure(lambda output: tuple(output.shape), spec)

    def get_config(self):
        network = keras.saving.serialize_keras_object(self.network)
        return {**super().get_config(), "network": network, "known": self.known}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "network": keras.saving.deserialize_keras_object(config["network"])})


class _Steps:
    """What makes a distribution over sequences from parameters `[B, T − known, ...]`, as a distribution layer does."""

    def __init__(self, layer, like, known):
        self.layer, self.like, self.known = layer, like, known

    def distribution(self, **parameters):
        folded = {name: ops.reshape(value, (-1, *value.shape[2:])) for name, value in parameters.items()}
        return OverTime(self.layer.distribution(**folded), self.like, self.known)


@keras.saving.register_keras_serializable("vaekit")
class Hold(keras.layers.Layer):
    r"""Keeps a step of a sequence from there on: $h_t = x_{\min(t, n)}$, steps being counted from 0.

    With it a video's later frames take skip connections from the last frame that was seen. (A network that is given
    the past of x has at its step n the frame n − 1: then n is the number of known frames.)

    Args:
        after: n.

    Source: Denton & Fergus 2018 (SVG), section 4.
    """

    def __init__(self, after, **kwargs):
        super().__init__(**kwargs)
        if not (isinstance(after, Integral) and after >= 0):
            raise ValueError(f"Hold expects the number of a step, from 0; received {after!r}.")
        self.after = int(after)

    def call(self, inputs):
        length = inputs.shape[1]
        head, rest = inputs[:, : self.after + 1], max(0, length - self.after - 1)
        return ops.concatenate([head, ops.repeat(head[:, -1:], rest, axis=1)], axis=1) if rest else head

    def first_state(self, inputs):
        return ops.zeros_like(inputs)

    def step(self, inputs, state, t):
        """Computes one step `[B, 1, ...]`, numbered t, and the state after it."""
        held = ops.where(t <= self.after, inputs, state)
        return held, held

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "after": self.after}


def output_layer(network):
    """Finds the distribution layer, or the layer over time, that a network ends in; None: not to be found."""
    if isinstance(network, (DistributionLayer, TimeDistributed)):
        return network
    if isinstance(network, VariationalWeights):
        return output_layer(network.network)
    if isinstance(network, (keras.Sequential, Stack)):
        return output_layer(network.layers[-1]) if network.layers else None
    if hasattr(network, "operations"):  # functional
        return output_layer(network.outputs[0]._keras_history.operation)
    return None
