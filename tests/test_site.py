"""The website's pages: public names are documented, the examples of docstrings run, links lead somewhere."""

import ast
import inspect
import re
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from oracles import binary_images, small_vae

import vaekit as vk
from vaekit.backend import tfd
from vaekit.layers import MLP, DiagonalNormal

pytest.importorskip("griffe", reason="griffelib is not installed: pip install -e '.[dev]'")
sys.path.append(str(Path(__file__).parents[1] / "site"))
import reference as site_reference  # noqa: E402
import stage  # noqa: E402

REFERENCE = site_reference.Reference()


# ---------------------------------------------------------------- pages


@pytest.mark.once
def test_pages_are_whole(tmp_path):
    assert stage.stage(tmp_path / "pages") == []
    lesson = (tmp_path / "pages/lessons/06_vampprior.ipynb").read_text(encoding="utf-8")
    assert "[`priors.VampPrior`](../api/priors/VampPrior.md)" in lesson
    name = (tmp_path / "pages/api/priors/VampPrior.md").read_text(encoding="utf-8")
    assert "(../../lessons/06_vampprior.ipynb)" in name and "| `components` |" in name
    paper = (tmp_path / "pages/papers/tomczak2017.md").read_text(encoding="utf-8")
    assert "−83.19" in paper and "`warm_up` | `100`, `2000`, `50`, `100` |" in paper


@pytest.mark.once
def test_what_is_missing_is_said():
    texts = {"a.md": "# One thing\n[x](b.md#other) [y](c.md) [z](b.md#an-other) `[w](d.md)`", "b.md": "# An other"}
    files, broken = stage._linked(texts | {"e/f.md": "[license](../LICENSE)"}, site_reference.ROOT)
    assert files == {"LICENSE": "LICENSE"}
    assert broken == ["a.md: b.md#other names no heading of b.md", "a.md: c.md leads nowhere"]


@pytest.mark.once
def test_docstrings_become_tables():
    text = "Does it.\n\nArgs:\n    x, y: data, `a|b`\n        and more.\n\nReturns: `MLP`, say.\n"
    text += "\nRaises:\n    ValueError: no.\n"
    page = REFERENCE.docstring(text, "api/layers/x.md")
    assert "| `x`, `y` | data, `a\\|b` and more. |" in page and "| [`MLP`](MLP.md), say. |" in page
    assert "| `ValueError` | no. |" in page and page.startswith("Does it.")


@pytest.mark.once
def test_names_are_found_in_code():
    code = "import vaekit as vk\nfrom vaekit.backend import tfd, value_and_gradient as g\n"
    code += "vk.layers.Masked(vk.VAE(1), vk.models.VAE)"
    assert [name.path for name in REFERENCE.used(code)] == ["backend.value_and_gradient", "layers.Masked", "VAE"]
    assert REFERENCE.find("vk.evaluation.fid(model)").page == "api/evaluation/fid-function.md"
    assert REFERENCE.find("samples") is None and REFERENCE.find("Masked").path == "layers.Masked"


# ---------------------------------------------------------------- examples


def examples():
    """Blocks of Python in docstrings, by the path of what they belong to."""
    found = {}
    things = {path: name.thing for path, name in REFERENCE.names.items()}
    things |= {room: module for room, module in REFERENCE.modules.items() if room}
    for path, thing in things.items():
        methods = {f"{path}.{m.name}": m for m in thing.members.values()} if thing.kind.value == "class" else {}
        for where, one in {path: thing, **methods}.items():
            text = "" if one.is_alias else site_reference.documentation(one)
            for code in re.findall(r"^ *```python\n(.*?)^ *```", text, re.M | re.S):
                found[where] = code
    return found


EXAMPLES = examples()
PAPERS = {path: code for path, code in EXAMPLES.items() if path.startswith("papers.")}
X = binary_images(20, (28, 28, 1))
COMMON = {
    **{"vk": vk, "keras": keras, "np": np, "ops": ops, "tfd": tfd, "x": X, "images": X, "validation": X[:10]},
    **{"Factor": vk.Factor, "LatentVariableModel": vk.LatentVariableModel, "Vocabulary": vk.datasets.Vocabulary},
    **{"DistributionLayer": vk.layers.DistributionLayer, "pixelwise": vk.layers.distribution.pixelwise},
    "BatchesByLength": vk.batches.BatchesByLength,
}


def networks():
    encoder = keras.Sequential([MLP(8), DiagonalNormal(2)])
    return {"encoder": encoder, "decoder": keras.Sequential([MLP(8), vk.layers.Bernoulli((28, 28, 1))])}


def model():
    vae = small_vae(event_shape=(28, 28, 1))
    vae.build((None, 28, 28, 1))
    return {"model": vae, "tf": pytest.importorskip("tensorflow")}


def gaps():
    decoder = keras.Sequential([MLP(8), vk.layers.Masked(vk.layers.Bernoulli((28, 28, 1)))])
    encoder = keras.Sequential([vk.layers.FillMissing(), MLP(8), DiagonalNormal(2)])
    return {"vae": vk.VAE(encoder, decoder), "x": np.where(X[:, :1, :1] == X, X, np.nan)}


def classes():
    ends = {"p_x": vk.layers.Bernoulli((28, 28, 1)), "q_y": vk.layers.OneHotCategorical(3), "q_z": DiagonalNormal(2)}
    return {name: vk.layers.Stack([MLP(8), end]) for name, end in ends.items()}


def compiled():
    vae = small_vae(event_shape=(28, 28, 1))
    vae.compile("sgd")
    return {"vae": vae}


def several():
    return {"build": lambda seed: small_vae(event_shape=(28, 28, 1), seed=seed)}


def hierarchy():
    normals = {name: DiagonalNormal(2) for name in ("p_z1", "q_z1", "q_z2")}
    return {"prior": vk.priors.StandardNormal(), "p_x": vk.layers.Bernoulli((28, 28, 1)), **normals}


def sequences():
    return {"frames": MLP(4), "posterior": DiagonalNormal(2), "prior": DiagonalNormal(2)}


def course():
    from vaekit.course import exercise, gauntlet

    return {"Exercise": exercise.Exercise, "gauntlet": gauntlet, "kl_divergence": lambda mean, log_variance: mean}


def sentences():
    text = vk.datasets.load("grammar", train=64, validation=64, test=64)
    length, words = text.event_shape[0], len(text.vocabulary)
    L = keras.layers
    encoder = keras.Sequential([L.Embedding(words, 4, mask_zero=True), L.LSTM(4), DiagonalNormal(2)])
    layers = [L.Embedding(words, 4), L.LSTM(4, return_sequences=True), vk.layers.Tokens(length, words)]
    vae = vk.VAE(encoder, vk.layers.AutoregressiveTokens(layers, skip=True))
    vae.compile("sgd")
    return {"text": text, "vae": vae}


NEEDS = {  # what an example takes for granted
    **dict.fromkeys(["priors.VampPrior", "priors.RealNVP", "inference.Refinement", "past"], networks),
    **dict.fromkeys(["training.AggressiveInference", "training.NormalizedGradients"], model),
    "inference.impute": gaps,
    "objectives.EnumeratedELBO": classes,
    "training.TensorBoardFigures": compiled,
    "LatentVariableModel.export": model,
    "training.fit_together": several,
    "LatentVariableModel": hierarchy,
    "Feature": sequences,
    **dict.fromkeys(["course.exercise.Exercise", "course.gauntlet"], course),
    **dict.fromkeys(["batches.BatchesByLength", "LatentVariableModel.interpolate"], sentences),
}
FEWER = {"epochs=50": "epochs=1", "epochs=100": "epochs=1", "range(5)": "range(2)", "components=500": "components=30"}
FEWER |= {"n=1000": "n=8", "range(8)": "range(1)"}


@pytest.mark.thorough
@pytest.mark.once
@pytest.mark.parametrize("path", [path for path in EXAMPLES if path not in PAPERS])
def test_example_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = EXAMPLES[path]
    for whole, few in FEWER.items():
        code = code.replace(whole, few)
    space = COMMON | NEEDS.get(path, dict)()
    exec(code, space)


@pytest.mark.once
@pytest.mark.parametrize("path", PAPERS)
def test_example_of_a_paper_names_what_there_is(path):
    """It runs for hours: what it calls exists, and takes these arguments."""
    code, space = ast.parse(PAPERS[path]), dict(COMMON)
    exec("\n".join(ast.unparse(line) for line in code.body if isinstance(line, ast.ImportFrom)), space)
    ours = [node for node in ast.walk(code) if ast.unparse(node).startswith(("vk.", "paper."))]
    assert any(isinstance(node, ast.Call) for node in ours)
    for node in ours:
        if isinstance(node, ast.Call) and re.fullmatch(r"[\w.]+", ast.unparse(node.func)):
            signature = inspect.signature(eval(ast.unparse(node.func), space))
            signature.bind(*node.args, **{keyword.arg: keyword.value for keyword in node.keywords})
        elif isinstance(node, ast.Attribute) and re.fullmatch(r"[\w.]+", ast.unparse(node)):
            eval(ast.unparse(node), space)
