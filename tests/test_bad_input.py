"""What does not fit is refused early, with a message that says what to do, and nothing is lost."""

import keras
import numpy as np
import pytest
import scipy.sparse
from oracles import ProbabilisticPCA, binary_images, small_vae, two_latents

import vaekit as vk
from vaekit.layers import MLP, Bernoulli, DiagonalNormal, Normal

X = binary_images(8)
GREY, NAN = X * 0.5 + 0.2, X.copy()
NAN[0, 0, 0, 0] = np.nan
INFINITE = np.where(np.isnan(NAN), np.inf, NAN)
LARGE = np.where(np.isnan(NAN), 1e39, NAN.astype("float64"))
MASKED = np.ma.masked_array(X, np.isnan(NAN))
DIGITS, VECTORS = vk.datasets.load("digits"), vk.datasets.from_arrays(X.reshape(8, 16))


class Frame:
    """What a pandas frame is to us."""

    columns = ["a", "b"]

    def to_numpy(self):
        return np.array([["one", 1], ["two", 2]], dtype=object)


# data: (array, what the message says)
DATA = {
    "a single image without batch axis": (X[0], r"x\[None\]"),
    "no channel axis": (X[..., 0], r"x\[..., None\]"),
    "flattened": (X.reshape(8, 16), r"\['N', 4, 4, 1\].*x.reshape\(\(-1, 4, 4, 1\)\)"),
    "channels first": (X.transpose(0, 3, 1, 2), r"numpy.moveaxis\(x, 1, -1\)"),
    "another size": (np.zeros((8, 5, 5, 1), "float32"), r"\['N', 4, 4, 1\].*\[8, 5, 5, 1\].*the last layer of p"),
    "a scalar": (np.float32(1.0), "should have shape"),
    "NaN": (NAN, "1 values that are NaN"),
    "infinite": (INFINITE, "NaN or infinite"),
    "grey values": (GREY, "DynamicBinarization"),
    "bytes 0..255": ((X * 255).astype("uint8"), "expects the values 0 and 1.*divide by 255"),
    "negative": (X - 1, "expects the values 0 and 1"),
    "no rows": (X[:0], "is empty"),
    "text": (np.full((8, 4, 4, 1), "a"), "should hold numbers.*numpy.unique"),
    "infinite in float32": (LARGE, "1 values beyond .*scale"),
    "masked": (MASKED, r"1 masked entries.*x.filled\(0\).*Masked a missing value is NaN"),
    "None among numbers": (np.where(X == 0, None, X), r"with None or NA in it.*x.astype\(float\)"),
    "sparse": (scipy.sparse.csr_array(X.reshape(8, 16)), r"sparse.*x.toarray\(\)"),
    "a frame with text": (Frame(), "select_dtypes"),
    "rows of different lengths": ([[0.0, 1.0], [1.0]], "array of numbers"),
    "a number": (3, "tf.data.Dataset"),
    "a file's name": ("x.npy", "tf.data.Dataset"),
    "data and targets": ((X, X), r"no targets.*fit\(x, validation_data=v\)"),
    "data and labels": ((X, np.arange(8)), "no targets"),
    "a list of data and targets": ([X, X], "no targets"),
    "data and weights": ((X, None, np.ones(8)), "Weights of examples come in batches"),
    "a data set": (DIGITS, r"'digits' as a whole.*fit\(data.train"),
    "the splits of labels": (DIGITS.labels, r"as a whole.*fit\(data.train"),
    "a module": (vk.datasets.mnist, r"as a whole.*fit\(data.train"),
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
    with pytest.raises((ValueError, TypeError), match=message):
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


def test_what_can_stand_for_an_array_is_welcome(model):
    class Numbers(Frame):
        def to_numpy(self):
            return X

    expected = model.evaluate(X, verbose=0, seed=0)
    for x in ((X,), (X, None), list(X), X.tolist(), np.ma.masked_array(X), Numbers()):
        assert model.evaluate(x, verbose=0, seed=0) == pytest.approx(expected, rel=1e-6)


def test_one_hot_labels():
    y = np.arange(8) % 3
    encoder = vk.layers.Stack([MLP(8), DiagonalNormal(2)])
    decoder = vk.layers.Stack([MLP(8), Bernoulli((4, 4, 1))])
    factors = [vk.Factor("z", vk.priors.StandardNormal()), vk.Factor("x", decoder, given=("z", "y"))]
    conditional = vk.LatentVariableModel(factors, [vk.Factor("z", encoder, given=("x", "y"))])
    with pytest.raises(ValueError, match=r"dict with the arrays \('x', 'y'\).*'x': ..., 'y': ..."):
        conditional.arrays((X, y))
    with pytest.raises(ValueError, match="should hold numbers.*numpy.unique"):
        conditional.arrays({"x": X, "y": y.astype(str)})
    with pytest.raises(Exception) as unbuilt:
        conditional.arrays({"x": X, "y": y})
    assert "to_categorical" in "".join(unbuilt.value.__notes__)
    conditional.build({"x": (None, 4, 4, 1), "y": (None, 3)})
    for labels in (y, y[:, None]):
        with pytest.raises(ValueError, match=r"keras.utils.to_categorical\(y, 3\)"):
            conditional.arrays({"x": X, "y": labels})


def test_counts_that_are_none(model):
    for size in (0, -1, 2.5):
        for call in (model.fit, model.evaluate, model.predict):
            with pytest.raises(ValueError, match=f"batch_size to be an integer of at least 1; received {size}"):
                call(X, batch_size=size, verbose=0)
    for fit in (model.fit, lambda x, **options: vk.training.fit_together([model], x, **options)):
        with pytest.raises(ValueError, match="epochs to be an integer of at least 0; received 2.5"):
            fit(X, epochs=2.5, verbose=0)


def test_an_objective_may_be_a_class():
    model = small_vae(objective=vk.objectives.IWAE)
    assert isinstance(model.objective, vk.objectives.IWAE)


def test_targets_and_losses_are_refused(model):
    with pytest.raises(ValueError, match="received None"):
        model.fit(None, verbose=0)
    with pytest.raises(ValueError, match="no targets"):
        model.fit(X, X, verbose=0)
    with pytest.raises(ValueError, match="no targets"):
        model.evaluate(X, X, verbose=0)
    with pytest.raises(ValueError, match=r"objectives.IWAE\(\)"):
        small_vae().compile("adam", objective="iwae")
    with pytest.raises(ValueError, match=r'compile\("adam", objective=ELBO\(...\)\)'):
        small_vae().compile(vk.objectives.ELBO())
    with pytest.raises(ValueError, match="trained by an objective"):
        small_vae().compile("adam", loss="mse")
    with pytest.raises(ValueError, match="trained by an objective"):
        small_vae().compile("adam", "mse")


# construction: (function, error, message)
PARTS = {
    "event shape": (lambda: Bernoulli((0, 4)), ValueError, "positive integers"),
    "objective first": (
        lambda: small_vae().compile(vk.objectives.ELBO),
        ValueError,
        r'compile\("adam", objective=ELBO',
    ),
    "objective class with settings": (
        lambda: small_vae().compile("adam", objective=vk.objectives.MIWAE),
        ValueError,
        "MIWAE has settings that must be given",
    ),
    "a layer after the head": (
        lambda: vk.Factor("x", keras.Sequential([Bernoulli(3), keras.layers.Dense(3)]), given="z"),
        ValueError,
        "layers after a distribution layer",
    ),
    "event shape of text": (lambda: DiagonalNormal("20"), ValueError, "positive integers"),
    "scale": (lambda: DiagonalNormal(2, parametrization="sigma"), ValueError, "log_scale"),
    "range": (
        lambda: DiagonalNormal(2, parametrization="softplus", log_variance_range=(-6, 2)),
        ValueError,
        "log_variance",
    ),
    "negative σ": (lambda: Normal(2, scale=-1.0), ValueError, "positive number"),
    "σ by a wrong name": (lambda: Normal(2, scale="learned"), ValueError, "shared"),
    "examples": (lambda: vk.priors.weight_prior(0), ValueError, "number of training examples"),
    "variational": (lambda: vk.layers.VariationalWeights(MLP(2), 0), ValueError, "positive examples"),
    "samples": (lambda: vk.objectives.ELBO(samples=0), ValueError, "at least 1"),
    "samples, float": (lambda: vk.objectives.IWAE(samples=2.5), ValueError, "integer"),
    "β by name": (lambda: vk.objectives.ELBO(beta="warmup"), ValueError, r"WarmUp\(steps=10_000\)"),
    "encoder": (lambda: vk.VAE(None, Bernoulli(4)), ValueError, "expects its encoder"),
    "decoder": (lambda: vk.VAE(DiagonalNormal(4), Bernoulli), ValueError, "expects its decoder"),
    "prior": (lambda: vk.VAE(DiagonalNormal(4), Bernoulli(4), vk.priors.StandardNormal), ValueError, "prior"),
    "given": (lambda: vk.Factor("z", MLP(2), given=3), ValueError, 'given="z"'),
    "name": (lambda: vk.Factor(MLP(2), "z"), ValueError, 'given="z"'),
    "no layer": (lambda: vk.Factor("z", "mlp", given="x"), ValueError, "Keras layer or model"),
    "no list": (lambda: vk.LatentVariableModel(vk.Factor("z", MLP(2), given="x"), []), ValueError, "generative should"),
    "no factors": (lambda: vk.LatentVariableModel([], [MLP(2)]), ValueError, "inference should"),
    "β": (lambda: vk.objectives.ELBO(beta=-1), ValueError, "beta"),
    "gradient": (lambda: vk.objectives.ELBO(gradient="reinforce"), ValueError, "score_function"),
    "warm-up": (lambda: vk.objectives.WarmUp(0), ValueError, "positive number of steps"),
    "cyclic warm-up": (lambda: vk.objectives.Cyclic(10, rising=2), ValueError, r"rising in \(0, 1\]"),
    "probabilities": (lambda: vk.batches.DynamicBinarization(X * 255), ValueError, r"\[0, 1\]"),
    "probabilities, masked": (lambda: vk.batches.DynamicBinarization(MASKED), ValueError, "masked"),
    "batches of masked data": (lambda: vk.batches.Batches(MASKED), ValueError, "masked"),
    "batches of a number": (lambda: vk.batches.Batches(3), ValueError, "single numbers"),
    "size of batches": (lambda: vk.batches.Batches(X, 2.5), ValueError, "integer of at least 1; received 2.5"),
    "unequal lengths": (lambda: vk.batches.Batches({"x": X, "y": X[:3]}), ValueError, "equal length"),
    "factor without given": (
        lambda: vk.LatentVariableModel(
            [vk.Factor("z", vk.priors.StandardNormal(2)), vk.Factor("x", MLP(2))], [vk.Factor("z", MLP(2), given="x")]
        ),
        ValueError,
        "must be a prior",
    ),
    "prior with given": (
        lambda: vk.Factor("z", vk.priors.StandardNormal(), given="x"),
        ValueError,
        "can be given nothing",
    ),
}


ONE_OF_EACH = {"burda2015": "one_layer", "tomczak2017": "vae", "rybkin2020": "vae", "kingma2013": "mnist"}
CONVOLUTIONS = {"dieng2018": "pixelcnn", "tomczak2017": "conv_hvae", "rybkin2020": "vae"}


def _built(paper, name, *arguments):
    return lambda: getattr(getattr(vk.papers, paper), name)(*arguments)


for _paper, _name in ONE_OF_EACH.items():
    PARTS[f"{_paper}'s model of an array"] = (_built(_paper, _name, X), ValueError, "received a ndarray")
for _paper, _name in CONVOLUTIONS.items():
    PARTS[f"{_paper}'s convolutions of vectors"] = (_built(_paper, _name, VECTORS, True), ValueError, r"\(16,\)")


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


def test_a_sequential_is_given_two_variables():
    factors = [
        vk.Factor("z", vk.priors.StandardNormal(2)),
        vk.Factor("x", keras.Sequential([MLP(8), Bernoulli((4, 4, 1))]), given=("z", "y")),
    ]
    model = _model(factors, [vk.Factor("z", keras.Sequential([MLP(8), DiagonalNormal(2)]), given="x")])
    with pytest.raises(ValueError, match=r"given \('z', 'y'\): write vaekit.layers.Stack"):
        model.build({"x": (None, 4, 4, 1), "y": (None, 3)})


def test_inputs_by_name_that_are_no_variables():
    inputs = {"z": keras.Input((2,)), "label": keras.Input((3,))}
    network = keras.Model(inputs, DiagonalNormal(2)(keras.layers.Concatenate()(list(inputs.values()))))
    with pytest.raises(ValueError, match=r"inputs named \('z', 'label'\).*given \('z', 'y'\)"):
        vk.Factor("x", network, given=("z", "y"))


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


@pytest.mark.once
@pytest.mark.parametrize("paper", vk.papers.__all__)
def test_a_papers_fit_takes_its_batch_size_from_the_settings(paper):
    with pytest.raises(ValueError, match=r"one of the settings.*received batch_size=50\. Say settings=dataclasses.rep"):
        getattr(vk.papers, paper).fit(None, DIGITS, epochs=1, batch_size=50)


@pytest.mark.parametrize(
    "head, prior",
    [
        (lambda: vk.layers.Bernoulli(3), None),
        (lambda: vk.layers.OneHotCategorical(3), vk.priors.MixtureOfNormals(2)),
        (lambda: vk.layers.Poisson(3), vk.priors.RealNVP()),
        (lambda: vk.layers.DiagonalNormal(3), vk.priors.Classes()),
    ],
)
def test_probabilities_and_densities_make_no_bound(head, prior):
    """The ratio p(z) / q(z|x) of a density and a probability trained in silence, and was reported as a bound."""
    encoder, decoder = (keras.Sequential([layer]) for layer in (head(), vk.layers.Bernoulli(4)))
    model = vk.VAE(encoder, decoder, prior, seed=0)
    model.compile("sgd", objective=vk.objectives.ReweightedWakeSleep(4))
    x = np.eye(4, dtype="float32")
    for ask in (model.fit, model.log_weights, lambda x: vk.evaluation.log_likelihood(model, x, 2, progress=False)):
        with pytest.raises(ValueError, match="they make no bound"):
            ask(x)


def test_an_objective_returns_loss_and_terms():
    class Alone(vk.objectives.ELBO):
        def __call__(self, *args):
            return super().__call__(*args)[0]

    model = small_vae()
    model.compile("sgd", objective=Alone())
    with pytest.raises(ValueError, match="Alone should return two things, the loss"):
        model.fit(X, verbose=0)
