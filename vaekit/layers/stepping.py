"""Networks of sequences, one step at a time: what a layer needs of earlier steps is kept, not computed again."""

import keras
from keras import ops
from keras.src.layers.merging.base_merge import Merge
from keras.src.models.functional import Functional

from vaekit.layers.likelihoods.masked import FillMissing
from vaekit.layers.over_time import TimeDistributed
from vaekit.layers.stacks import ELEMENTWISE, Join, Stack

L = keras.layers
# Layers that treat each step alone
STEPWISE = (
    *(TimeDistributed, L.TimeDistributed, L.Dense, L.EinsumDense, L.Embedding, L.LayerNormalization),
    *(L.RMSNormalization, L.InputLayer, FillMissing, Join, Merge, *ELEMENTWISE),
)
# Operations that treat each number alone, or along the axis that they name
OPERATIONS = """
    Abs Absolute Negative Sign Square Sqrt Rsqrt Reciprocal Power Exp Expm1 Log Log1p Log2 Log10 Logaddexp Erf
    Add Subtract Multiply Divide TrueDivide FloorDivide Mod Maximum Minimum Clip Where Cast StopGradient
    Sin Cos Tan Tanh Sinh Cosh Arctan Arctan2 Round Floor Ceil Trunc NanToNum Isnan Isfinite ZerosLike OnesLike
    Equal NotEqual Greater GreaterEqual Less LessEqual LogicalAnd LogicalOr LogicalNot
    Sigmoid LogSigmoid HardSigmoid Relu Relu6 LeakyRelu Elu Selu Celu Gelu Silu HardSilu Softplus Softsign SquarePlus
    HardTanh TanhShrink HardShrink SoftShrink Glu Softmax LogSoftmax
    Concatenate Stack Split ExpandDims Sum Mean Var Std Max Min Prod Logsumexp Norm
""".split()


def first_states(network, inputs):
    """Finds the states before the first step: list of tensors, or lists of them, `[N, ...]`, zeros as a rule.

    Args:
        network: layer or model.
        inputs: of one step, tensor or list of `[N, 1, ...]` (vectors for all steps: `[N, D]`).
    """
    memory = Memory(None, 0)
    memory.run(network, inputs)
    return memory.before


def step(network, inputs, states, t):
    """Runs a network on one step, numbered t from 0, in inference mode.

    Args:
        network, inputs: as for `first_states`.
        states: those after the step before.

    Returns: the network's output, of a sequence of length 1 (or a distribution over such), and the states after it.
    """
    memory = Memory(states, t)
    return memory.run(network, inputs), memory.after


class Memory:
    """Runs layers on one step of their sequences, and keeps their states in the order in which they come.

    Recurrent layers keep their state, causal convolutions the inputs that they reach back to, and a layer with methods
    `first_state(inputs)` and `step(inputs, state, t)`, such as `Hold`, what these say.
    """

    def __init__(self, states, t):
        self.states, self.t, self.before, self.after = states, t, [], []

    def run(self, layer, inputs, **options):
        """Computes a layer's output for one step `[N, 1, ...]`."""
        if isinstance(layer, keras.Sequential):
            return self._in_sequence(layer.layers, inputs)
        if isinstance(layer, Functional):
            given = layer._standardize_inputs(inputs)
            run = lambda part: lambda *args, **kwargs: self._run_operation(part, *args, **kwargs)  # noqa: E731
            output = layer._run_through_graph(given, operation_fn=run)
            return output[0] if isinstance(output, (list, tuple)) and len(output) == 1 else output
        if isinstance(layer, Stack):
            tensors = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
            return layer.forward(tensors, tensors if layer.skip else [], run=self.run)
        if isinstance(layer, L.RNN):
            return self._recurrent(layer, inputs, **options)
        if isinstance(layer, L.Conv1D):
            return self._convolution(layer, inputs)
        if hasattr(layer, "step") and hasattr(layer, "first_state"):
            output, state = layer.step(inputs, self._state(lambda: layer.first_state(inputs)), self.t)
            self.after.append(state)
            return output
        if isinstance(layer, TimeDistributed):
            return layer.at_step(inputs)
        return layer(inputs, **options)

    def _in_sequence(self, layers, h):
        for layer in layers:
            h = self.run(layer, h)
        return h

    def _run_operation(self, operation, *args, **kwargs):
        if not isinstance(operation, keras.layers.Layer):
            return operation(*args, **kwargs)
        options = {name: value for name, value in kwargs.items() if name not in ("training", "mask")}
        return self.run(operation, *args, **options)

    def _state(self, first):
        """The state that is next in order; before the first step it is made."""
        if self.states is None:
            self.before.append(first())
            return self.before[-1]
        return self.states[len(self.after)]

    def _recurrent(self, layer, inputs, initial_state=None, mask=None, training=False):
        n = ops.shape(inputs)[0]
        state = self._state(lambda: _listed(layer.cell.get_initial_state(batch_size=n)))
        if initial_state is not None:
            state = [ops.where(self.t == 0, a, b) for a, b in zip(_listed(initial_state), state, strict=True)]
        output, state = layer.cell(inputs[:, 0], state, training=False)
        self.after.append(_listed(state))
        return output[:, None]  # [N, 1, units]

    def _convolution(self, layer, inputs):
        n, reach = ops.shape(inputs)[0], (layer.kernel_size[0] - 1) * layer.dilation_rate[0]
        earlier = self._state(lambda: ops.zeros((n, reach, inputs.shape[-1]), layer.compute_dtype))
        window = ops.concatenate([earlier, ops.cast(inputs, layer.compute_dtype)], axis=1)  # [N, reach + 1, C]
        self.after.append(window[:, 1:])
        return layer(window)[:, -1:]


def _listed(value):
    return list(value) if isinstance(value, (list, tuple)) else [value]


def check_causality(network, name):
    """Raises ValueError if a network has layers that may let a step see later ones, or that cannot run step by step.

    Args:
        name: of the variable that the network describes.
    """
    for layer, keys in _parts(network):
        recurrent = isinstance(layer, L.RNN) and layer.return_sequences and not layer.return_state  # of the last step
        recurrent = recurrent and not (layer.go_backwards or layer.stateful)
        causal = isinstance(layer, L.Conv1D) and layer.padding == "causal" and layer.strides == (1,)
        causal = causal and layer.data_format == "channels_last"
        own = hasattr(layer, "step") and hasattr(layer, "first_state")
        stepwise = isinstance(layer, STEPWISE) or _is_stepwise(layer, keys)
        if not (recurrent or causal or own or (stepwise and not _mixes_steps(layer))):
            raise ValueError(
                f"The network of {name!r} is given the past, so that no step may see later ones; its layer "
                f"{layer.name!r} ({type(layer).__name__}) may let it. Such networks are made of LSTM, GRU or other "
                'recurrent layers with return_sequences=True, Conv1D with padding="causal", Dense, elementwise layers '
                "and operations (axis=-1), Embedding without mask_zero, vaekit.layers.Hold, and vaekit.layers."
                "TimeDistributed(network) around all that treats a step alone (images' convolutions, say)."
            )


def _is_stepwise(operation, keys):
    """Returns whether an operation that is no layer leaves steps where they are; `keys` are those of an indexing."""
    name = type(operation).__name__
    if name == "GetItem":
        return all(_leaves_steps(key if isinstance(key, tuple) else (key,)) for key in keys)
    return not isinstance(operation, keras.layers.Layer) and name in OPERATIONS


def _leaves_steps(key):
    """Returns whether an index `[N, T, ...]` takes all steps, in their order."""
    everything = slice(None)
    return key[:2] == (everything, everything) or (key[:1] == (Ellipsis,) and len(key) <= 2)


def _mixes_steps(part):
    """Returns whether a layer or an operation may mix steps, or has weights of its own for each of them."""
    axes = -1 if type(part).__name__ == "ExpandDims" else getattr(part, "axis", -1)
    axes = axes if isinstance(axes, (list, tuple)) else [axes]
    inputs, _, rest = getattr(part, "equation", "").partition(",")  # of EinsumDense
    weights, _, output = rest.partition("->")
    return (
        isinstance(part, L.Dot)
        or any(axis is None or axis in (0, 1) or axis < -1 for axis in axes)  # [N, T, ...]
        or (inputs and ("." in inputs or inputs[1] in weights or output[:2] != inputs[:2]))
        or (isinstance(part, L.PReLU) and 1 not in (part.shared_axes or ()))
        or getattr(part, "mask_zero", False)  # a recurrent layer would leave steps out
    )


def _parts(network):
    """Yields the layers and operations that a network runs, those within others instead of these; and what each
    operation is called with beside tensors, a list."""
    if isinstance(network, (keras.Sequential, Stack)):
        for layer in network.layers:
            yield from _parts(layer)
    elif isinstance(network, Functional):
        for layer in network.operations:
            if isinstance(layer, keras.layers.Layer):
                yield from _parts(layer)
            else:
                yield layer, [node.arguments.args[1] for node in layer._inbound_nodes if len(node.arguments.args) > 1]
    else:
        yield network, []
