"""Burda et al.: the networks' sizes, the schedule, the quirks, and a brief training with units removed."""

import numpy as np
import pytest
from keras import ops

import vaekit as vk
from vaekit.papers import burda2015 as paper
from vaekit.papers import trial

pytestmark = pytest.mark.once  # layers, objectives and training run on both


def dense(*widths):
    """Weights and biases of fully connected layers one after the other."""
    return sum((a + 1) * b for a, b in zip(widths, widths[1:], strict=False))


@pytest.fixture(scope="module")
def data():
    return vk.datasets.load("dynamic_digits")


@pytest.fixture(scope="module")
def mnist_like():
    x = np.zeros((40, 28, 28, 1), "float32")
    return vk.datasets.Dataset("zeros", "zeros", x, x, x, None, "", "")


def test_networks_have_the_papers_sizes(mnist_like):
    one = paper.one_layer(mnist_like)
    assert one.encoder.count_params() == dense(784, 200, 200) + 2 * dense(200, 50)
    assert one.decoder.count_params() == dense(50, 200, 200, 784)
    two = paper.two_layers(mnist_like)
    sizes = {f.name: f.layer.count_params() for f in two.inference}
    assert sizes == {
        "h1": dense(784, 200, 200) + 2 * dense(200, 100),
        "h2": dense(100, 100, 100) + 2 * dense(100, 50),
    }
    sizes = {f.name: f.layer.count_params() for f in two.generative}
    assert sizes == {"h2": 0, "h1": dense(50, 100, 100) + 2 * dense(100, 100), "x": dense(100, 200, 200, 784)}


def test_schedule_of_the_stages(mnist_like):
    assert paper.epochs() == 3280 and paper.epochs(3) == 1 + 3 + 9
    rates = paper.learning_rates()
    assert rates[0] == pytest.approx(1e-3) and rates[-1] == pytest.approx(1e-4)
    assert np.allclose(np.diff(np.log10(rates)), -1 / 7)
    rate = paper.one_layer(mnist_like).optimizer._learning_rate  # 2 steps an epoch
    for epoch, stage in ((0, 0), (1, 1), (3, 1), (4, 2), (12, 2), (13, 3)):
        assert float(rate(ops.convert_to_tensor(2 * epoch + 1))) == pytest.approx(rates[stage], rel=1e-4)


def test_first_images_are_the_mean_image(data):
    model = paper.one_layer(data)
    mean = data.train.probabilities.mean(axis=0)
    drawn = model.decode(np.zeros((1, 50), "float32"))[0]
    np.testing.assert_allclose(drawn, np.clip(mean, 0.001, 0.999), atol=1e-4)


def test_quirks_are_off_unless_asked_for(mnist_like):
    plain = paper.one_layer(mnist_like).optimizer
    assert (plain.beta_1, plain.epsilon) == (0.9, 1e-4)
    quirks = paper.Quirks(*[True] * 5)
    model = paper.two_layers(mnist_like, quirks=quirks)
    assert (model.optimizer.beta_1, model.optimizer.epsilon) == (0.99, 5e-6)
    assert all(np.min(ops.convert_to_numpy(v)) == 1 for v in model.optimizer.variables if "velocity" in v.path)
    assert paper.learning_rates(quirks=quirks)[1] == pytest.approx(1e-4 * round(10 ** (6 / 7), 1))
    mean, spread = (ops.convert_to_numpy(head.kernel) for head in model.inference[0].layer.layers[-1].heads.values())
    np.testing.assert_array_equal(mean, spread)


@pytest.mark.once
def test_a_cells_objective_has_the_gradient_of_the_settings(mnist_like):
    (cell,) = (cell for cell in paper.CELLS if cell.name == "static_mnist-1-iwae-50")
    assert cell.model(mnist_like, 0).objective.gradient == "pathwise"
    assert cell.vary({"gradient": "dreg"}).model(mnist_like, 0).objective.gradient == "dreg"


@pytest.mark.once
def test_quirks_are_those_of_the_second_phase_too(mnist_like):
    (cell,) = (cell for cell in paper.CELLS if cell.name == "dynamic_mnist-1-iwae-50-vae-1")
    assert cell.model(mnist_like, 0).optimizer.get_config()["epsilon"] == 1e-4
    adam = cell.vary({"high_momentum": True, "summed_gradient": True}).model(mnist_like, 0).optimizer
    assert (adam.beta_1, adam.epsilon) == (0.99, 5e-6) and float(adam.learning_rate) == pytest.approx(1e-4)


@pytest.mark.thorough
def test_trains_evaluates_and_sheds_inactive_units(data):
    model = paper.two_layers(data, vk.objectives.IWAE(5))
    before = model.evaluate(data.test, seed=0, verbose=0)["bound"]
    paper.fit(model, data, stages=2, verbose=0)
    assert model.evaluate(data.test, seed=0, verbose=0)["bound"] > before + 1
    units = vk.evaluation.active_units(model, np.asarray(data.train[:500]), samples=5)
    assert {name: u.activity.shape for name, u in units.items()} == {"h1": (100,), "h2": (50,)}
    pruned = vk.evaluation.remove_inactive(model, units)
    whole, without = (
        vk.evaluation.log_likelihood(each, data.test[:50], samples=200, progress=False) for each in (model, pruned)
    )
    assert abs(whole.mean - without.mean) < 0.5  # the paper, after full training: 0.06


def test_switching_goes_on_at_the_last_learning_rate(data):
    model = paper.one_layer(data, vk.objectives.ELBO())
    weights = model.encoder.get_weights()
    paper.switch(model, vk.objectives.IWAE(5))
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-4)
    for a, b in zip(weights, model.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert isinstance(model.objective, vk.objectives.IWAE)


def test_table_1_keeps_the_papers_order():
    for (name, layers, objective, k), (nll, active) in paper.TABLE_1.items():
        assert len(active) == layers
        if k > 1:
            assert nll >= paper.TABLE_1[name, layers, "IWAE", k][0]
            assert paper.TABLE_1[name, layers, objective, 50][0] < paper.TABLE_1[name, layers, objective, 1][0]


@pytest.mark.thorough
def test_a_trial_reports_what_it_trained():
    (row,) = trial.run(paper, ["1 layer, VAE, k=1"], "dynamic_digits", 1, samples=3, images=20, progress=False)
    assert row.data == "dynamic digits" and row.epochs == 1 and len(row.log_likelihood.per_example) == 20
    assert 0 <= row.active["z"].count <= 50
    assert str(row).startswith("1 layer, VAE, k=1") and f"{row.bound:.2f}" in str(row)
    with pytest.raises(ValueError, match="no model"):
        next(trial.run(paper, ["3 layers"]))
