"""What factors may be given beside variables: the past of a sequence, and features that are computed of data."""

from dataclasses import dataclass

import keras
from keras import ops

from vaekit.layers.distribution import output_spec
from vaekit.names import of_past
from vaekit.training.losses import counting


def shifted(value, axis=1):
    """Shifts a sequence by a step along an axis: zeros come first, the last step is dropped."""
    length = value.shape[axis]
    pad = [(0, 0)] * len(value.shape)
    pad[axis] = (1, 0)
    return ops.pad(value[(*[slice(None)] * axis, slice(length - 1))], pad)


def with_pasts(values, names, axis=1):
    """Adds pasts to a dict of tensors by name: those of `names` whose variables it has, and that it lacks."""
    wanted = [name for name in names if of_past(name) in values and name not in values]
    return {**values, **{name: shifted(values[of_past(name)], axis) for name in wanted}}


@dataclass(frozen=True)
class Feature:
    """A function of data, computed once, that factors may be given as they are any variable: h = f(x).

    ```python
    vk.Feature("h", frames, given="x")                          # all see the same encoded frames:
    vk.Factor("z", posterior, given="h")                        # q(z_t | x_≤t)
    vk.Factor("z", prior, given=vk.past("h"))                   # p(z_t | x_<t)
    ```

    Args:
        name: of the result; a tuple of names for a network with a list of outputs.
        layer: a network (layer or model) of tensors, without a distribution at its end.
        given: name, or tuple of names, of observed variables, conditions, their pasts, or earlier features.

    Raises:
        ValueError: names that are none; what is no layer.
    """

    name: str
    layer: keras.layers.Layer
    given: tuple

    def __post_init__(self):
        given = (self.given,) if isinstance(self.given, str) else tuple(self.given or ())
        if isinstance(self.name, list):
            object.__setattr__(self, "name", tuple(self.name))
        if not given or not all(isinstance(name, str) for name in (*self.names, *given)):
            raise ValueError(
                f'Feature expects names, Feature("h", network, given="x"); received {self.name!r} given {self.given!r}.'
            )
        if not isinstance(self.layer, keras.layers.Layer):
            raise ValueError(f"Feature({self.name!r}) expects a Keras layer or model; received {self.layer!r}.")
        object.__setattr__(self, "given", given)

    @property
    def names(self):
        return (self.name,) if isinstance(self.name, str) else tuple(self.name)

    def __call__(self, inputs, training=False):
        """Returns a dict of tensors by name, given a list of the variables it depends on."""
        return self.named(self.layer(self.arranged(inputs), training=training))

    def arranged(self, inputs):
        """Arranges a list of the variables as the network is called with them."""
        return inputs if len(inputs) > 1 else inputs[0]

    def named(self, outputs):
        """Makes a dict by name of the network's output, or its list of outputs.

        Raises:
            ValueError: another number of outputs than names.
        """
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        if len(outputs) != len(self.names):
            raise ValueError(
                f"Feature({self.name!r}) names {len(self.names)} outputs; its network ({self.layer.name}) has "
                f"{len(outputs)}."
            )
        return dict(zip(self.names, outputs, strict=True))

    def spec(self, specs):
        """Finds symbolic tensors by name, from those of the variables it depends on; builds the network."""
        return self.named(output_spec(self.layer, self.arranged([specs[name] for name in self.given])))


def completed(model, data, training=False):
    """Adds features, and pasts, to a dict of data `[B, ...]` by name: those of what is there."""
    values = with_pasts(data, model.pasts)
    for feature in model.features:
        if not set(feature.given) <= set(values) or set(feature.names) <= set(values):
            continue
        with counting(feature, "h"):
            values |= feature([values[name] for name in feature.given], training)
        values = with_pasts(values, model.pasts)
    return values
