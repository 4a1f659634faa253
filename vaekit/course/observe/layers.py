"""Checks the contract of every Keras layer: it can be made again from its config, with its name and dtype."""

import json

import keras

from vaekit.course.observe.values import Wrong, described

CONFIG = (
    " `get_config` should return what `__init__` takes, as numbers and texts (the seed, not its generator), together "
    "with `super().get_config()`."
)
NAME_AND_DTYPE = {"name": "a_name", "dtype": "bfloat16"}


def layer_class(answer):
    """Refuses what is no class of layers."""
    if not (isinstance(answer, type) and issubclass(answer, keras.layers.Layer)):
        what = f"`{answer.__name__}`, which does not derive from it" if isinstance(answer, type) else described(answer)
        raise Wrong(f"expected a class that is a `keras.layers.Layer`, received {what}.", "no_layer")
    return answer


def copy(answer, arguments):
    """Makes a layer from another one's config, as a file holds it.

    Args:
        answer: the class.
        arguments: dict of what the first layer is given.

    Raises:
        Wrong: the config lacks an argument, or the copy has not the name and dtype that the first layer was given.
    """
    layer = _named(answer, arguments)
    config = json.loads(json.dumps(layer.get_config()))
    missing = [name for name in arguments if name not in config]
    absent = _absent(missing) if missing else None
    try:
        clone = answer.from_config(config)
    except Exception:
        if missing:
            raise absent from None
        raise
    if _identity(clone) != NAME_AND_DTYPE:
        raise Wrong(
            "a layer made again from `get_config()` has another name or dtype than the first one: let the config begin "
            "with `**super().get_config()`, which holds them.",
            "config_without_super",
        )
    if missing and answer.from_config.__func__ is keras.layers.Layer.from_config.__func__:
        raise absent
    return answer.from_config({**config, "dtype": "float32"})


def _named(answer, arguments):
    """Makes a layer with a name and a dtype, and checks that it has them."""
    try:
        layer = answer(**arguments, **NAME_AND_DTYPE)
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise Wrong(
            "`__init__` does not take `name` and `dtype`, as every layer does: let it take `**kwargs`, and call "
            "`super().__init__(**kwargs)`.",
            "no_kwargs",
        ) from None
    if lost := [f"`{name}={value!r}`" for name, value in NAME_AND_DTYPE.items() if _identity(layer)[name] != value]:
        raise Wrong(
            f"a layer made with {' and '.join(lost)} does not keep {'them' if len(lost) > 1 else 'it'}, and saved "
            "models come back with other ones: `__init__` should hand on what is not its own, by "
            "`super().__init__(**kwargs)`.",
            "kwargs_lost",
        )
    return layer


def _absent(missing):
    own = ", ".join(f'"{name}": self.{name}' for name in missing)
    return Wrong(
        f"`get_config()` lacks `{'`, `'.join(missing)}`, which `__init__` takes, so the layer cannot be made again as "
        f"it was: return `{{**super().get_config(), {own}}}`.",
        f"config_without_{missing[0]}",
    )


def _identity(layer):
    return {"name": layer.name, "dtype": layer.dtype_policy.name}
