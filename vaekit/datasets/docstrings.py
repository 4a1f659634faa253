"""`docstrings`: first sentences of the docstrings in installed packages; nothing is shipped, nothing is imported."""

import ast
import re
import sysconfig
from pathlib import Path

import numpy as np

from .ptb import sentences
from .registry import Splits, register

WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|[.,:;?!()]")
LEFT_OUT = {"test", "tests", "site-packages", "idlelib", "lib2to3", "__pycache__", "dist-packages"}


@register("docstrings")
def docstrings(folder=None, longest=20, size=5000, seed=0):
    """First sentences of the docstrings in Python's standard library, or in the packages of a folder; no network.

    They are as many, and say, what the installed version says: figures on them are compared within one machine.
    `folder` is that of packages, such as site-packages; `longest` counts words, `size` tokens of the vocabulary.
    """
    root = Path(sysconfig.get_paths()["stdlib"] if folder is None else folder)
    if not root.is_dir():
        raise ValueError(f"docstrings reads Python files of a folder; {str(root)!r} is none.")
    found = {}  # a sentence once: the package that has it first
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if not LEFT_OUT & set(parts):
            found |= {s: found.get(s, Path(parts[0]).stem) for s in first_sentences(path) if 3 <= s.count(" ") + 1}
    found = {s: package for s, package in found.items() if s.count(" ") < longest}
    if len(found) < 10:
        raise ValueError(f"Below {str(root)!r} there are {len(found)} docstrings: too few to split.")
    texts = sorted(found)
    order = np.random.default_rng(seed).permutation(len(texts))
    parts = np.split(order, (len(texts) * 8 // 10, len(texts) * 9 // 10))
    packages = {package: i for i, package in enumerate(sorted(set(found.values())))}
    fields = sentences(
        "docstrings",
        Splits(*([texts[i] for i in part] for part in parts)),
        f"First sentences of docstrings below {root.name}, small letters, each once; the label is the package. "
        f"Shuffled by seed {seed}.",
        "Python's standard library" if folder is None else str(root.name),
        size,
    )
    return {**fields, "labels": Splits(*(np.array([packages[found[texts[i]]] for i in part]) for part in parts))}


def first_sentences(path):
    """Reads the first sentences of a Python file's docstrings, words and marks with a space between them."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, OSError, RecursionError, ValueError):
        return []
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, documented)]
    firsts = [re.split(r"(?<=[.!?])\s|\n\s*\n", text.strip(), maxsplit=1)[0] for text in texts]
    return [" ".join(WORD.findall(first.lower())) for first in firsts if first]
