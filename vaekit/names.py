"""Names of variables, and of what stands beside them: a sequence's past."""

PAST = "past(", ")"


def past(name):
    r"""Names the past of a sequence, for what a `Factor` is given: at step t it has the step before, $x_{t-1}$, and
    zeros at the first.

    ```python
    vk.Factor("x", decoder, given=(vk.past("x"), "z"))  # p(x_t | x_<t, z_≤t), the text "past(x)" means the same
    ```

    So a network that carries what it has seen along, an LSTM say, knows all earlier steps and no later one.
    """
    return f"{PAST[0]}{name}{PAST[1]}"


def of_past(name):
    """Returns the variable whose past a name means; None: it names no past."""
    start, end = PAST
    return name[len(start) : -len(end)] if name.startswith(start) and name.endswith(end) else None


def variable(name):
    """Returns the variable that a name means, itself or its past."""
    return of_past(name) or name
