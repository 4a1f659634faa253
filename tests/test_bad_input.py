"""What does not fit is refused early, with a message that says what to do, and nothing is lost."""

import keras
import numpy as np
import pytest
from oracles import ProbabilisticPCA, binary_images, small_vae, two_latents

import vaekit as vk
from vaekit.layers import MLP, Bernoulli, DiagonalNormal, Normal

X = binary_images(8)
GREY, NAN = X * 0.5 + 0.2, X.copy()
NAN[0, 0, 0, 0] = np.nan
INFINITE = np.where(np.isnan(NAN), np.inf, NAN)

# data: (array, what the message says)
DATA = {
    "a single image without batch axis": (X[0], r"x\[None\]"),
    "no channel axis": (X[..., 0], r"x\[..., None\]"),
    "flattened": (X.reshape(8, 16), r"\['N', 4, 4, 1\]"),
    "another size": (np.zeros((8, 5, 5, 1), "float32"), r"\['N', 4, 4, 1\].*\[8, 5, 5, 1\]"),
    "a scalar": (np.float32(1.0), "should have shape"),
    "NaN": (NAN, "1 values that are NaN"),
    "infinite": (INFINITE, "NaN or infinite"),
    "grey values": (GREY, "DynamicBinarization"),
    "bytes 0..255": ((X * 255).astype("uint8"), "expects the values 0 and 1"),
    "negative": (X - 1, "expects the values 0 and 1"),
    "no rows": (X[:0], "is empty"),
    "text": (np.full((8, 4, 4, 1), "a"), "should hold numbers"),
    "a wrong name": ({"y": X}, r"data named \('x',\)"),
}
ENTRANCES = {
    "fit": lambda m, x: m.fit(x, verbose=0),
    "validation": lambda m, x: m.fit(X, validation_data=x, verbose=0),
    "evaluate": lambda m, x: m.evaluate(x, verbose=0),
    "predict": lambda m, x: m.predict(x, verbose=0),
    "encode": lambda m, x: m.encode(x),
    "posterior": lambda m, x: m.posterior(x),
    "log_weights": lambda m, x: m.log_weights(x, 2),
    "log_likelihood": lambda m, x: vk.evaluation.log_likelihood(m, x, samples=3, progress=False),
    "active_units": lambda m, x: vk.evaluation.active_units(m, x),
    "hmc": lambda m, x: vk.inference.hmc(m, x, samples=2, burn_in=2),
}


@pytest.fixture(scope="module")
def model():
    model = small_vae()
    model.fit(X, verbose=0)
    return model


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize("kind", DATA)
def test_unusable_data_are_refused_and_the_model_is_unharmed(model, kind, entrance):
    x, message = DATA[kind]
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        ENTRANCES[entrance](model, x)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_fit_after_a_refusal_works(model):
    with pytest.raises(ValueError):
        model.fit(GREY, verbose=0)
    assert np.isfinite(model.fit(X, verbose=0).history["bound"]).all()


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float64"])
def test_zeros_and_ones_of_any_dtype_are_welcome(model, dtype):
    expected = model.evaluate(X, verbose=0, seed=0)
    assert model.evaluate(X.astype(dtype), verbose=0, seed=0) == pytest.approx(expected, rel=1e-6)


def test_a_batch_of_one(model):
    assert model.fit(X[:1], verbose=0)
    assert model.reconstruct(X[:1]).shape == (1, 4, 4, 1)
    assert np.isfinite(vk.evaluation.log_likelihood(model, X[:1], samples=5, progress=False).mean)
    with pytest.raises(ValueError, match="at least two examples"):
        vk.evaluation.active_units(model, X[:1])


def test_targets_and_losses_are_refused(model):
    with pytest.raises(ValueError, match="no targets"):
        model.fit(X, X, verbose=0)
    with pytest.raises(ValueError, match="trained by an objective"):
        small_vae().compile("adam", loss="mse")
    with pytest.raises(ValueError, match="trained by an objective"):
        small_vae().compile("adam", "mse")


# construction: (function, error, message)
PARTS = {
    "event shape": (lambda: Bernoulli((0, 4)), ValueError, "positive integers"),
    "event shape of text": (lambda: DiagonalNormal("20"), ValueError, "positive integers"),
    "scale": (lambda: DiagonalNormal(2, scale="sigma"), ValueError, "log_scale"),
    "range": (lambda: DiagonalNormal(2, scale="softplus", log_variance_range=(-6, 2)), ValueError, "log_variance"),
    "negative σ": (lambda: Normal(2, scale=-1.0), ValueError, "positive number"),
    "σ by a wrong name": (lambda: Normal(2, scale="learned"), ValueError, "shared"),
    "examples": (lambda: vk.priors.weight_prior(0), ValueError, "number of training examples"),
    "variational": (lambda: vk.layers.VariationalWeights(MLP(2), 0), ValueError, "positive examples"),
    "samples": (lambda: vk.objectives.ELBO(samples=0), ValueError, "at least 1"),
    "samples, float": (lambda: vk.objectives.IWAE(samples=2.5), ValueError, "integer"),
    "β": (lambda: vk.objectives.ELBO(beta=-1), ValueError, "beta"),
    "gradient": (lambda: vk.objectives.ELBO(gradient="reinforce"), ValueError, "score_function"),
    "warm-up": (lambda: vk.objectives.WarmUp(0), ValueError, "positive number of steps"),
    "probabilities": (lambda: vk.batches.DynamicBinarization(X * 255), ValueError, r"\[0, 1\]"),
    "unequal lengths": (lambda: vk.batches.Batches({"x": X, "y": X[:3]}), ValueError, "equal length"),
    "factor without given": (lambda: vk.Factor("z", MLP(2)), ValueError, "must be a prior"),
    "prior with given": (
        lambda: vk.Factor("z", vk.priors.StandardNormal(), given="x"),
        ValueError,
        "can be given nothing",
    ),
}


@pytest.mark.parametrize("kind", PARTS)
def test_wrong_parts(kind):
    make, error, message = PARTS[kind]
    with pytest.raises(error, match=message):
        make()


def _model(generative, inference):
    return vk.LatentVariableModel(generative, inference)


def test_factorizations_that_do_not_fit():
    F, prior, head = vk.Factor, vk.priors.StandardNormal(), DiagonalNormal(2)
    with pytest.raises(ValueError, match="no earlier factor provides"):
        _model([F("x", head, given="z"), F("z", prior)], [F("z", head, given="x")])
    with pytest.raises(ValueError, match="no earlier factor provides"):
        both = [F("z", prior), F("w", vk.priors.StandardNormal()), F("x", head, given="z")]
        _model(both, [F("z", head, given="w"), F("w", head, given="x")])
    with pytest.raises(ValueError, match="Two"):
        _model([F("z", prior), F("z", prior), F("x", head, given="z")], [F("z", head, given="x")])
    with pytest.raises(ValueError, match="without a generative factor"):
        _model([F("x", head, given="z")], [F("z", head, given="x")])


def test_networks_that_do_not_fit_each_other():
    decoder = keras.Sequential([MLP(3), Bernoulli((4, 4, 1))])
    model = vk.VAE(DiagonalNormal(2), decoder)
    with pytest.raises(ValueError, match=r"\(4, 4, 1\).*\(5, 5, 1\)"):
        model.build((None, 5, 5, 1))
    with pytest.raises(ValueError, match=r"events of shape\s+\(3,\), but 'z' has shape \(2,\)"):
        vk.VAE(DiagonalNormal(2), decoder, vk.priors.StandardNormal(3)).build((None, 4, 4, 1))
    not_a_distribution = vk.VAE(MLP(2), decoder)
    with pytest.raises(ValueError, match="distribution layer"):
        not_a_distribution.compile("adam")
        not_a_distribution.fit(X, verbose=0)


def test_no_closed_form_kl():
    model = two_latents("bottom-up")
    model.compile("adam", objective=vk.objectives.ELBO(analytic_kl=True))
    with pytest.raises(ValueError, match="which q draws after it"):
        model.fit(X, verbose=0)

    class Laplace(vk.priors.Prior):
        def distribution(self):
            return self.independent(vk.backend.tfd.Laplace(keras.ops.zeros(self.event_shape), 1.0))

    model = small_vae(prior=Laplace(), objective=vk.objectives.ELBO(analytic_kl=True))
    with pytest.raises(ValueError, match="no closed-form KL"):
        model.fit(X, verbose=0)
    model.compile("adam", objective=vk.objectives.ELBO())
    model.fit(X, verbose=0)


def test_questions_about_an_unbuilt_model():
    with pytest.raises(ValueError, match="shape of its data"):
        small_vae().sample(2)
    with pytest.raises(ValueError, match="shape of its data"):
        small_vae().decode(np.zeros((1, 2)))


def test_wrong_numbers_in_evaluation():
    pca = ProbabilisticPCA()
    with pytest.raises(ValueError, match="at least 1"):
        vk.evaluation.log_likelihood(pca.model, pca.x, samples=0)
    with pytest.raises(ValueError, match="more than\\s+3"):
        vk.evaluation.hmc_log_likelihood(pca.model, pca.x[:2], samples=3)
