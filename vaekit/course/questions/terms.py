r"""Finds by least squares how often each term of a sum counts in what came back.

A log-density, a divergence and a bound are sums, $\sum_i t_i$. Of an answer with mistakes in several terms it is found
out which numbers $c_i$ make $\sum_i c_i t_i$ of them: 0 for a term that is missing, −1 for a wrong sign, 2 for a term
that stands there twice.
"""

import ast
from typing import NamedTuple

import numpy as np

from vaekit.course.questions.language import Text
from vaekit.course.questions.variants import REDUCTIONS, arguments_of, described, function_of, learn, number_of

MOST = 12  # terms
SPARE = 3  # numbers more than terms, of what is fitted


class Sum(NamedTuple):
    """A value that an answer returns, as a sum.

    Attributes:
        descriptions: tuple: each term in words.
        text: a `Text` with an argument more, `_c`: how often each term counts.
    """

    descriptions: tuple
    text: Text

    def terms(self, inputs):
        """Computes an array for each term."""
        one = np.eye(len(self.descriptions))
        return np.array([self.text.run({**inputs, "_c": c})[0] for c in one])

    def linear(self, inputs):
        """Whether it is Σ_i c_i t_i, whatever c is."""
        c = np.linspace(0.5, 2, len(self.descriptions))
        value = self.text.run({**inputs, "_c": c})[0]
        return np.allclose(value, np.tensordot(c, self.terms(inputs), 1), rtol=1e-6, atol=1e-8)


def counted(total, rows):
    """Counts terms in what came back: a clause for each that does not count once; [] if that is not clear.

    Args:
        total: a `Sum`.
        rows: list of (inputs, observed array).
    """
    terms, values = [], []
    for inputs, observed in rows:
        value = total.terms(inputs)
        if np.shape(observed) != value.shape[1:] or not total.linear(inputs):
            return []
        terms.append(value.reshape(len(value), -1))
        values.append(np.ravel(observed))
    terms, values = np.concatenate(terms, 1).T, np.concatenate(values)  # [numbers, terms], [numbers]
    if not (np.isfinite(terms).all() and np.isfinite(values).all()) or len(values) < terms.shape[1] + SPARE:
        return []
    scale = np.abs(terms).max(0)
    if not scale.all():
        return []
    c, _, rank, singular = np.linalg.lstsq(terms / scale, values)
    c = c / scale
    near = np.round(4 * c) / 4
    clear = rank == len(c) and singular[-1] > 1e-3 * singular[0] and np.abs(c - near).max() < 0.01
    if not clear or not np.allclose(terms @ near, values, rtol=1e-3, atol=1e-4 * np.abs(terms).max()):
        return []
    return [
        f"the term with {description} {_counts(n)}"
        for description, n in zip(total.descriptions, near, strict=True)
        if n != 1
    ]


def _counts(n):
    words = {0: "is missing", -1: "has the other sign", 2: "counts twice", 0.5: "counts by half"}
    return words.get(n, f"counts {n:g} times")


def sum_of(text, index=0):
    """Returns a text's value as a `Sum`, or None if it is none: a text of other than assignments and one `return`.

    Args:
        text: a `Text`.
        index: which of several values.
    """
    body = ast.parse(str(text)).body[0].body
    if not all(isinstance(statement, (ast.Assign, ast.Return)) for statement in body):
        return None
    returned = body[-1]
    if isinstance(returned.value, ast.Tuple):
        returned.value = returned.value.elts[index]
    origins = {argument.split("=")[0]: [argument.split("=")[0]] for argument in text.arguments}
    for statement in body:
        learn(statement, origins)
    body = _used(body)
    names = [name.id for statement in body for name in ast.walk(statement) if isinstance(name, ast.Name)]
    once = {  # names that are assigned, and used, once
        s.targets[0].id: s
        for s in body[:-1]
        if isinstance(s.targets[0], ast.Name) and names.count(s.targets[0].id) == 2
    }
    descriptions = []  # words

    def weighted(node):
        """Multiplies each term of an expression by its `_c`."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
            return ast.BinOp(weighted(node.left), node.op, weighted(node.right))
        if isinstance(node, ast.UnaryOp) and number_of(node) is None:
            return ast.UnaryOp(node.op, weighted(node.operand))
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div)):
            if number_of(node.right) is not None or isinstance(node.op, ast.Div) and is_sum(node.left):
                return ast.BinOp(weighted(node.left), node.op, node.right)
            if is_sum(node.right) and isinstance(node.op, ast.Mult):
                return ast.BinOp(node.left, node.op, weighted(node.right))
        if function_of(node) in REDUCTIONS:
            return ast.Call(node.func, [weighted(node.args[0]), *node.args[1:]], node.keywords)
        if isinstance(node, ast.Name) and node.id in once and is_sum(once[node.id].value):
            statement = once.pop(node.id)
            statement.value = weighted(statement.value)
            return node
        descriptions.append(described(node, origins))
        c = ast.Subscript(ast.Name("_c", ast.Load()), ast.Constant(len(descriptions) - 1), ast.Load())
        return ast.BinOp(c, ast.Mult(), node)

    def is_sum(node):
        if isinstance(node, ast.Name):
            return node.id in once and is_sum(once[node.id].value)
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div)):
            return is_sum(node.left) or is_sum(node.right)
        if isinstance(node, ast.UnaryOp):
            return is_sum(node.operand)
        if function_of(node) in REDUCTIONS:
            return is_sum(node.args[0])
        return (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, (ast.Add, ast.Sub))
            and bool(arguments_of(node, origins))
        )

    returned.value = weighted(returned.value)
    if not 2 <= len(descriptions) <= MOST:
        return None
    return Sum(tuple(descriptions), Text(text.name, ["_c", *text.arguments], "\n".join(map(ast.unparse, body))))


def _used(body):
    """Selects the assignments that what is returned depends on, and the `return`."""
    needed, statements = set(), []
    for statement in reversed(body):
        names = [name for name in ast.walk(statement) if isinstance(name, ast.Name)]
        if isinstance(statement, ast.Return) or needed & {n.id for n in names if isinstance(n.ctx, ast.Store)}:
            statements.insert(0, statement)
            needed |= {name.id for name in names if isinstance(name.ctx, ast.Load)}
    return statements
