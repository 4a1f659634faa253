"""Code for both backends."""

import keras


def accelerated():
    """Returns whether there is a device other than processors, such as a GPU."""
    return not all(device.startswith("cpu") for device in keras.distribution.list_devices())


class Scope(keras.StatelessScope):
    """A context in which variables have given values, others those around it, and assignments are dropped at its end.

    Args:
        values: pairs of a `keras.Variable` and a tensor.
        initialize_variables: whether variables made within have values afterwards; not in a program being compiled.

    Attributes:
        losses: list of the losses that layers add within.
        assigned: dict by id of pairs of a variable and the value that it was assigned.
        unknown: dict by id of variables that were read, and have no value here nor in a scope around.
    """

    def __init__(self, values=(), initialize_variables=False):
        super().__init__(list(values), collect_losses=True, initialize_variables=initialize_variables)
        self.original_scope, self.assigned, self.unknown = None, {}, {}

    def add_update(self, update):
        super().add_update(update)
        self.assigned[id(update[0])] = update

    def get_current_value(self, variable):
        value = super().get_current_value(variable)
        if value is None and self.original_scope is not None:
            value = self.original_scope.get_current_value(variable)
        if value is None:
            self.unknown[id(variable)] = variable
        return value

    def keep(self):
        """Repeats the scope's assignments outside, once it has ended."""
        for variable, value in self.assigned.values():
            variable.assign(value)
