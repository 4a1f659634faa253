r"""Makes texts that differ from an answer in one place, as learners' do: a term lost, a sign, a square, another axis.

A question's mistakes are those that its author thought of. These are the others, made from the answer itself.

```python
answer = Text("half_square", ["x"], "return ops.sum(x**2 / 2, axis=-1)")
[variant.clause for variant in variants(answer)]  # ["`x` is not squared", ...]
```
"""

import ast
import functools
import itertools
from typing import NamedTuple

from vaekit.course.questions.language import Text

ORDER = "what is returned is in another order"
MOST_ORDERS = 6  # of three values
REDUCTIONS = ("sum", "mean")
_REARRANGE = ("transpose", "reshape", "stop_gradient", "shape")
_INSTEAD = {  # functions that are taken for each other
    "exp": ("softplus", "square"),
    "log": ("log1p",),
    "log1p": ("log",),
    "sigmoid": ("tanh", "softplus", "log_sigmoid"),
    "softplus": ("exp", "relu", "sigmoid", "log_sigmoid"),
    "sqrt": ("square",),
    "tanh": ("sigmoid", "relu"),
}
_AROUND = {  # what may be put around a name too many
    "{} / 2": "{} is halved",
    "2 * {}": "{} is doubled",
    "-{}": "{} has the other sign",
    "{}**2": "{} is squared",
    "ops.abs({})": "the absolute value of {} is taken",
    "ops.sqrt({})": "the root of {} is taken",
    "ops.exp({})": "`exp` is taken of {}",
    "ops.log({})": "the logarithm of {} is taken",
    "ops.exp({} / 2)": "$e$ to the power of half of {} stands in its place",
    "ops.stop_gradient({})": "the gradient does not pass through {}",
}


class Variant(NamedTuple):
    """A text that differs from the right one.

    Attributes:
        clause: in what it differs: "`x` is not squared".
        text: a `Text`.
    """

    clause: str
    text: Text


class _Told(dict):
    """Which arguments names depend on, where learners know the names, too."""


def variants(text, told=False):
    """Lists all `Variant`s of a text that differ from it in one place.

    Args:
        text: a `Text`.
        told: whether clauses may name what the text assigns; learners know its arguments only, unless they have it.
    """
    tree = ast.parse(str(text))
    origins = (_Told if told else dict)({a.split("=")[0]: [a.split("=")[0]] for a in text.arguments})
    body = tree.body[0].body
    results, lines = [], list(map(ast.unparse, body))
    for i, statement in enumerate(body):
        if isinstance(statement, ast.For):  # of what it assigns anew, the arguments stay what they were
            for inner in statement.body:
                learn(inner, fresh := type(origins)(origins))
                origins |= {name: of for name, of in fresh.items() if name not in origins}
        known = origins
        if isinstance(statement, ast.FunctionDef):  # of its own arguments
            known = {argument.arg: [argument.arg] for argument in statement.args.args}
        for node, put, inside in _places(statement):
            where = f" inside `{inside}`" if inside else ""
            if known is not origins and isinstance(node, ast.Name):
                continue
            for clause, changed in _changes(node, known):
                put(changed)
                changed_lines = [*lines[:i], ast.unparse(statement), *lines[i + 1 :]]
                results.append(Variant(clause + where, text.edited("\n".join(changed_lines))))
                put(node)
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            clause = f"the gradient does not pass through {_part(statement.value, origins)}"
            stopped = f"{statement.targets[0].id} = ops.stop_gradient({ast.unparse(statement.value)})"
            results.append(Variant(clause, text.edited("\n".join([*lines[:i], stopped, *lines[i + 1 :]]))))
        learn(statement, origins)
    return results


def _places(node, inside=""):
    """Yields (expression, function that puts another in its place, inside which function) for all below a node.

    What is called, keywords and indices are no places, nor is how often a loop runs.
    """
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        return
    if isinstance(node, ast.Call):
        function = function_of(node)
        inside = function if len(node.args) == 1 and not node.keywords and function not in _REARRANGE else ""
    for field, value in ast.iter_fields(node):
        if field in ("func", "keywords", "slice", "targets", "ctx", "op"):
            continue
        for i, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST):
                continue
            if isinstance(child, ast.expr):
                yield child, functools.partial(_put, node, field, i), inside
            if not isinstance(child, ast.Compare):  # as a whole
                yield from _places(child, inside)


def _put(node, field, i, new):
    if i is None:
        setattr(node, field, new)
    else:
        getattr(node, field)[i] = new


def learn(statement, origins):
    """Adds to `origins` which arguments a newly assigned name depends on."""
    if not isinstance(statement, ast.Assign):
        return
    target, value = statement.targets[0], statement.value
    pairs = zip(target.elts, value.elts, strict=True) if isinstance(value, ast.Tuple) else [(target, value)]
    origins |= {
        name.id: arguments_of(value, origins)
        for target, value in pairs
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    }


def _names_in(node):
    """Returns the names in an expression, but for those of which only the shape is taken."""
    shapes = {id(part.value) for part in ast.walk(node) if isinstance(part, ast.Attribute) and part.attr == "shape"}
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and id(part) not in shapes}


def arguments_of(node, origins):
    """Lists names of the arguments that an expression depends on, in their order."""
    names = _names_in(node)
    arguments = {argument for name in names for argument in origins.get(name, ())}
    return [name for name in origins if name in arguments]


def _part(node, origins):
    """Describes a part, as `described`, by a noun: "`x`", "the part with `x` and `mean`"."""
    description = described(node, origins)
    made = isinstance(node, ast.Name) and len(origins.get(node.id, ())) == 1 and node.id not in origins[node.id]
    if made and not isinstance(origins, _Told):
        return f"what is made of {description}"
    return (
        f"the part with {description}"
        if description.startswith("`") and " and " in description and not function_of(node)
        else description
    )


def described(node, origins):
    """Describes an expression by its arguments: "`exp` of `log_variance`", "`x` and `mean`", "the constant"."""
    if function := function_of(node):
        return f"`{function}` of {described(node.args[0], origins)}"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return f"the square of {described(node.left, origins)}"
    if isinstance(node, ast.UnaryOp):
        return described(node.operand, origins)
    if isinstance(node, ast.Subscript):
        return described(node.value, origins)
    told = _names_in(node) if isinstance(origins, _Told) else arguments_of(node, origins)
    names = [f"`{name}`" for name in origins if name in told and origins[name]]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names) or "the constant"


def function_of(node):
    """Returns "exp" for `ops.exp(x)`, None for all else."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        return node.func.attr
    return None


def number_of(node):
    """Returns the value of a constant such as -0.5, None for all else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = number_of(node.operand)
        return None if value is None else -value
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) else None


def _changes(node, origins):
    """Yields (clause, another expression) for all that may be done to one."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
        yield from _sum_changes(node, origins)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div)):
        yield from _product_changes(node, origins)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and number_of(node.right) == 2:
        what = _part(node.left, origins)
        yield f"{what} is not squared", node.left
        yield (
            f"the absolute value of {what} is taken, not the square",
            _expression(f"ops.abs({ast.unparse(node.left)})"),
        )
    elif isinstance(node, ast.UnaryOp) and number_of(node) is None:
        yield f"the minus before {_part(node.operand, origins)} is lost", node.operand
    elif isinstance(node, ast.Call):
        yield from _call_changes(node, origins)
    elif isinstance(node, ast.Name) and origins.get(node.id):
        what = _part(node, origins)
        yield from ((clause.format(what), _expression(code.format(node.id))) for code, clause in _AROUND.items())
        for other in origins:
            if other != node.id and origins[other] == [other]:
                yield f"`{other}` stands where {what} belongs", _expression(other)
    elif isinstance(node, ast.Tuple):
        for order in itertools.islice(itertools.permutations(node.elts), 1, MOST_ORDERS):
            yield ORDER, ast.Tuple(list(order), ast.Load())
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield from _compare_changes(node, origins)


def _compare_changes(node, origins):
    """The limit of whole numbers, by one; the side on which it lies."""
    (limit,), what = node.comparators, _part(node.left, origins)
    value = number_of(limit)
    for other in (value - 1, value + 1) if isinstance(value, int) else ():
        yield f"{what} is compared with {other}, not with {value}", ast.Compare(node.left, node.ops, [_number(other)])
    for one, another in ((ast.Gt, ast.Lt), (ast.GtE, ast.LtE)):
        for here, there in ((one, another), (another, one)):
            if isinstance(node.ops[0], here):
                yield (
                    f"smaller and larger have changed places where {what} is compared",
                    ast.Compare(node.left, [there()], node.comparators),
                )


def _number(value):
    return ast.Constant(value) if value >= 0 else ast.UnaryOp(ast.USub(), ast.Constant(-value))


def _sum_changes(node, origins):
    left, right = (f"the term with {described(side, origins)}" for side in (node.left, node.right))
    minus = isinstance(node.op, ast.Sub)
    other = ast.Add() if minus else ast.Sub()
    yield f"{right} is missing", node.left
    yield f"{left} is missing", ast.UnaryOp(ast.USub(), node.right) if minus else node.right
    yield f"{right} has the other sign", ast.BinOp(node.left, other, node.right)
    yield f"{left} has the other sign", ast.BinOp(ast.UnaryOp(ast.USub(), node.left), node.op, node.right)
    for word, factor in (("twice", 2), ("by half", 0.5)):
        times = [ast.BinOp(ast.Constant(factor), ast.Mult(), side) for side in (node.left, node.right)]
        yield f"{right} counts {word}", ast.BinOp(node.left, node.op, times[1])
        yield f"{left} counts {word}", ast.BinOp(times[0], node.op, node.right)
    if isinstance(node.right, ast.BinOp) and isinstance(node.right.op, (ast.Mult, ast.Div)):  # a + b·c, (a + b)·c
        inner = node.right
        sides = [(inner.left, inner.right), (inner.right, inner.left)][: 1 + isinstance(inner.op, ast.Mult)]
        for term, factor in sides:
            summed = ast.BinOp(ast.BinOp(node.left, node.op, term), inner.op, factor)
            yield f"a bracket stands around {_part(node.left, origins)} and {_part(term, origins)} too many", summed
    product = ast.BinOp(node.left, ast.Mult(), node.right)
    yield f"{_part(node.left, origins)} and {_part(node.right, origins)} are multiplied, not added", product


def _product_changes(node, origins):
    divided, left, right = isinstance(node.op, ast.Div), *(_part(s, origins) for s in (node.left, node.right))
    if (factor := number_of(node.left)) is not None:
        yield f"the factor {factor:g} before {right} is missing", node.right
        if factor < 0:
            yield f"the minus before {right} is lost", ast.BinOp(ast.Constant(-factor), node.op, node.right)
        return
    if (factor := number_of(node.right)) is not None:
        yield f"{left} is not {'divided' if divided else 'multiplied'} by {factor:g}", node.left
        yield f"{left} is {'multiplied' if divided else 'divided'} by {factor:g}", _swapped(node)
        return
    if isinstance(node.left, ast.BinOp) and isinstance(node.left.op, (ast.Add, ast.Sub)):  # (a + b)·c, a + b·c
        inner = node.left
        apart = ast.BinOp(inner.left, inner.op, ast.BinOp(inner.right, node.op, node.right))
        yield f"a bracket is missing around {left}", apart
    done, undone = ("divided", "multiplied") if divided else ("multiplied", "divided")
    yield f"{left} is not {done} by {right}", node.left
    yield f"{left} is {undone} by {right}, where it should be {done}", _swapped(node)
    squared = ast.BinOp(node.right, ast.Pow(), ast.Constant(2))
    yield f"{left} is {done} by the square of {right}", ast.BinOp(node.left, node.op, squared)
    if divided:
        yield f"{right} is divided by {left}, the other way round", ast.BinOp(node.right, node.op, node.left)
    else:
        yield f"{right} stands there without the factor {left}", node.right
        yield (
            f"{left} and {right} are added, where they should be multiplied",
            ast.BinOp(node.left, ast.Add(), node.right),
        )


def _swapped(node):
    return ast.BinOp(node.left, ast.Mult() if isinstance(node.op, ast.Div) else ast.Div(), node.right)


def _call_changes(node, origins):
    function = function_of(node)
    if function is None:
        return
    inner, *rest = node.args
    what = described(inner, origins)
    if function in REDUCTIONS:
        other = REDUCTIONS[function == "sum"]
        yield f"the {other} of {what} is taken, not the {function}", _call(node, other)
        axis = next((number_of(keyword.value) for keyword in node.keywords if keyword.arg == "axis"), None)
        for new in (0, 1, -1, None) if axis is not None else ():
            if new != axis:
                over = "all axes" if new is None else f"axis {new}"
                yield f"the {function} of {what} goes over {over}, not over axis {axis}", _call(node, function, new)
    elif not rest and not node.keywords:
        yield f"`{function}` of {what} is left out", inner
        scales = ("doubled", 2), ("halved", 0.5), ("given the other sign", -1), ("doubled, with the other sign", -2)
        for word, factor in scales:
            scaled = ast.BinOp(ast.Constant(factor), ast.Mult(), inner)
            yield f"the argument of `{function}`, made of {what}, is {word}", _call(node, function, inner=scaled)
        if isinstance(inner, ast.BinOp) and isinstance(inner.op, (ast.Add, ast.Sub)):  # f(a + b), f(a) + b
            apart = ast.BinOp(_call(node, function, inner=inner.left), inner.op, inner.right)
            yield f"the term with {described(inner.right, origins)} stands outside of `{function}`", apart
        for other in _INSTEAD.get(function, ()):
            yield f"`{other}` stands where `{function}` of {what} belongs", _call(node, other)
            if not isinstance(inner, ast.Name) and len(arguments_of(inner, origins)) == 1:
                name = ast.Name(arguments_of(inner, origins)[0], ast.Load())
                yield f"`{other}` of {what} alone stands where `{function}` belongs", _call(node, other, inner=name)
    elif function == "where" and len(rest) == 2:
        yield "the two branches of `where` have changed places", ast.Call(node.func, [inner, *rest[::-1]], [])


def _call(node, function, axis=..., inner=None):
    """Returns the call with another function, axis or argument."""
    keywords = node.keywords if axis is ... else [k for k in node.keywords if k.arg != "axis"]
    keywords = [*keywords, ast.keyword("axis", ast.Constant(axis))] if axis not in (..., None) else keywords
    called = ast.Attribute(node.func.value, function, ast.Load())
    return ast.Call(called, [node.args[0] if inner is None else inner, *node.args[1:]], keywords)


def _expression(code):
    return ast.parse(code, mode="eval").body
