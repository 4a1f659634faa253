"""Sentences about wrong arrays: each usual mistake is named, whatever the numbers are."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vaekit.course.questions import explain as explaining
from vaekit.course.questions.explain import Explanation, common

SHAPES = arrays.array_shapes(min_dims=1, max_dims=3, min_side=2, max_side=5)
ANY = st.floats(allow_nan=True, allow_infinity=True, width=32)


def explain(*arguments, **options):
    """The sentence."""
    return explaining.explain(*arguments, **options).message


@st.composite
def numbers(draw, shapes=SHAPES):
    """Arrays of ordinary numbers of both signs, with no relation among them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return 10 ** draw(st.floats(-1, 3)) * rng.normal(size=draw(shapes))


def some(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape) + 0.1


@given(arrays.arrays("float64", SHAPES, elements=ANY), arrays.arrays("float64", SHAPES, elements=ANY))
def test_says_something_about_any_two_arrays(observed, expected):
    for a, b in ((observed, expected), (observed, np.resize(expected, observed.shape))):
        text = explain(a, b, sizes={"units": 3})
        assert isinstance(text, str) and "\n" not in text
        if a.shape != b.shape:
            assert text.startswith(f"the shape is {a.shape}, expected {b.shape}")
        assert not text or text.endswith((".", "?"))


@given(numbers())
def test_says_nothing_about_what_is_right(expected):
    assert explain(expected, expected) == ""
    assert explain(expected * (1 + 1e-7), expected) == ""
    expected.flat[0] = -np.inf
    assert explain(expected, expected) == ""


@given(numbers())
def test_sign(expected):
    assert explain(-expected, expected) == "the sign is reversed."


@given(numbers(), st.floats(0.01, 100).filter(lambda f: abs(f - 1) > 0.03), st.booleans())
def test_factor(expected, factor, reversed_):
    text = explain((-factor if reversed_ else factor) * expected, expected, rtol=1e-6, atol=1e-9)
    assert "it is ours times" in text or "it is ours divided by" in text
    assert text.startswith("with the sign reversed") == reversed_


@pytest.mark.parametrize(
    ("factor", "says"),
    [
        (2, "it is ours times 2."),
        (0.5, "it is ours divided by 2."),
        (1 / 40, "it is ours divided by 40, the number of latent units."),
        (-40, "with the sign reversed, it is ours times 40, the number of latent units."),
        (1 / 40**0.5, "it is ours divided by √40, the root of the number of latent units."),
        (1 / math.log(2), "it is ours divided by ln 2 (another base of the logarithm)."),
        (2 * math.pi, "it is ours times 2π."),
        (7.5, "it is ours times 7.5."),
    ],
)
def test_known_factors(factor, says):
    assert explain(factor * some(4), some(4), sizes={"latent units": 40}) == says
    one = explain(np.array(factor * 3.0), np.array(3.0), sizes={"latent units": 40})
    assert one == (says if factor != 7.5 else "received 22.5, expected 3.")  # of one number it may be chance


def test_a_root_that_is_a_plain_number_is_not_told():
    assert explain(some(4) / 2, some(4), sizes={"codes": 4}) == "it is ours divided by 2."
    assert "root" not in explain(3 * some(4), some(4), sizes={"codes": 9, "images": 3})
    assert "root" in explain(3 * some(4), some(4), sizes={"codes": 9})


@given(numbers(), st.floats(0.5, 50), st.booleans())
def test_shift(expected, shift, less):
    text = explain(expected + (-shift if less else shift), expected)
    assert f"it is ours {'less' if less else 'plus'}" in text and "everywhere" in text


@pytest.mark.parametrize(
    ("shift", "says"),
    [
        (0.5 * math.log(2 * math.pi), "plus ½ ln 2π everywhere: too much is added, or too little subtracted."),
        (
            -20 * math.log(2 * math.pi),
            "less 40 times ½ ln 2π (40 latent units) everywhere: too little is added, or too much subtracted.",
        ),
        (-math.log(40), "less ln 40 (40 latent units) everywhere: too little is added, or too much subtracted."),
        (-1, "less 1 everywhere: too little is added, or too much subtracted."),
        (
            19.5,
            "plus 39 times ½ (39 of the 40 latent units) everywhere: too much is added, or too little subtracted; "
            "is a constant there once, and not once for each?",
        ),
        (3.25, "plus 3.25 everywhere: a constant term differs."),
    ],
)
def test_known_shifts(shift, says):
    assert "everywhere" not in explain(some(4) + 0.002 + 0.001 * some(4), some(4), atol=0.005, rtol=0)
    assert explain(some(4) + shift, some(4), sizes={"latent units": 40}) == f"it is ours {says}"
    large = 5000 + some(4)  # as log-likelihoods are
    assert explain(large + shift, large, rtol=1e-7, sizes={"latent units": 40}) == f"it is ours {says}"


@given(numbers(), st.data())
def test_axis_not_reduced(observed, data):
    axis = data.draw(st.integers(0, observed.ndim - 1))
    assert explain(observed, observed.sum(axis)).endswith(f"Sum over axis {axis}.")
    assert explain(observed, observed.mean(axis)).endswith(f"Take the mean over axis {axis}.")


@given(numbers(arrays.array_shapes(min_dims=2, max_dims=3, min_side=2, max_side=5)), st.data())
def test_axis_lost(expected, data):
    axis, keep = data.draw(st.integers(0, expected.ndim - 1)), data.draw(st.booleans())
    for name, reduce in (("sum", np.sum), ("mean", np.mean)):
        text = explain(reduce(expected, axis=axis, keepdims=keep), expected)
        assert text.endswith(f": you took the {name} over axis {axis}, which should stay.")
        assert f"you took the {name} over everything" in explain(reduce(expected), expected)


@given(numbers(arrays.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=5)))
def test_transposed(expected):
    assert "it is transposed." in explain(expected.T, expected)


def test_other_places():
    assert explain(some(4)[::-1], some(4)) == "the order along axis 0 is reversed."
    assert explain(some(3, 4)[:, ::-1], some(3, 4)) == "the order along axis 1 is reversed."
    assert explain(np.roll(some(5), 1), some(5)) == "the numbers are right, their order is not."
    assert explain(some(4)[:, None], some(4)) == "the shape is (4, 1), expected (4,); the numbers are right."


def test_spread_over_rows_and_columns():
    text = explain(some(4)[:, None] * some(4) ** 2 + 5, some(4))
    assert text.startswith("the shape is (4, 4), expected (4,): did numbers of the shapes (4, 1) and (4,) meet")
    assert "did numbers" in explain(some(3, 3), some(3, 1))
    assert explain(some(3, 3), some(2)) == "the shape is (3, 3), expected (2,)."


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (np.abs, "absolute value"),
        (np.exp, "the exponential of ours"),
        (lambda e: 1 - e, "1 minus ours"),
        (np.reciprocal, "1 divided by ours"),
        (np.square, "the square of ours"),
    ],
)
def test_relations(change, says):
    expected = some(6)
    assert says in explain(change(expected), expected)


@pytest.mark.parametrize(("change", "says"), [(np.log, "the logarithm of"), (np.sqrt, "the square root of")])
def test_relations_of_positive_numbers(change, says):
    expected = np.exp(some(6))
    assert says in explain(change(expected), expected)


@given(numbers(), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_not_finite(expected, bad):
    observed = expected.copy()
    observed.flat[-1] = bad
    text = explain(observed, expected)
    assert text.startswith(f"1 of {expected.size} numbers is {'nan' if np.isnan(bad) else 'infinite'} where")


@given(numbers(), st.floats(-10, 10) | st.just(np.nan) | st.just(np.inf))
def test_finite_where_infinite_is_right(expected, wrong):
    observed = expected.copy()
    expected.flat[0], observed.flat[0] = -np.inf, wrong
    assert "should be infinite" in explain(observed, expected)


def test_lost_digits():
    """log(1 − u) in float32."""
    u = np.linspace(1e-4, 3e-4, 7, dtype="float32")
    text = explain(np.log(np.float32(1) - u), np.log1p(-u.astype("float64")), rtol=1e-6, atol=0)
    assert text.startswith("nearly right") and "digits are lost" in text


@settings(max_examples=30)
@given(numbers(), st.data())
def test_one_number_wrong(expected, data):
    i = data.draw(st.integers(0, expected.size - 1))
    observed = expected.copy()
    observed.flat[i] = 1e5
    place = list(map(int, np.unravel_index(i, expected.shape)))
    text = explain(observed, expected)
    assert text.startswith(f"1 of {expected.size} numbers are wrong, the others right; at {place}: received 1e+05")


def test_nothing_zeros_and_no_numbers():
    assert "Is there a `return`?" in explain(None, some(3))
    assert explain(np.zeros(3), some(3)).startswith("everything is 0")
    assert explain(np.array(["a", "b"]), some(2)) == "expected numbers, received values of type <U1."
    assert explain(np.array(0.5), np.array(3.2)) == "received 0.5, expected 3.2."  # no factor of 0.15625
    assert explain(np.zeros((0, 2)), np.zeros((0,))) == "the shape is (0, 2), expected (0,)."


def test_names_are_those_of_mistakes():
    """By which a question says it better."""
    of = {"latents": 4, "images": 5}

    def name(observed, **options):
        return explaining.explain(np.asarray(observed), some(5), sizes=of, **options).name

    assert name(-some(5)) == "sign" and name(2 * some(5)) == "twice" and name(some(5) / 2) == "half"
    assert name(some(5) / 4) == "mean_over_latents" and name(-some(5) / 4) == "negative_mean_over_latents"
    assert name(some(5).sum()) == "sum_over_images" and name(some(5).mean()) == "mean_over_images"
    assert name(0 * some(5)) == "zero" and name(0 * some(5), gradient=True) == "cut"
    assert explaining.explain(some(5), 0 * some(5), gradient=True).name == "leak"
    assert name(some(5) + 2 * math.log(2 * math.pi)) == "constant"
    assert name(some(5) + 1.5 * math.log(2 * math.pi)) == "constant_once"
    assert name(some(5)) == "" and name(some(5) + np.arange(5)) == "other"


def test_what_several_arrays_have_in_common():
    """One factor may mean two things, until another array tells them apart; if none does, both are said."""
    square = explaining.explain(some(4) / 4, some(4), sizes={"latents": 4, "images": 4})
    other = explaining.explain(some(6) / 3, some(6), sizes={"latents": 3, "images": 6})
    assert common([square, other]).name == "mean_over_latents"
    both = common([square])
    assert both.name == "several"
    assert (
        both.message
        == "it is ours divided by 4, the number of latents. Or it is ours divided by 4, the number of images."
    )
    two = common([explaining.explain(some(4) / 2, some(4), sizes={"latents": 2, "images": 4})])
    assert two.message == "it is ours divided by 2, the number of latents."  # not that, or divided by 2, or by √4
    assert common([Explanation("sign", "a."), Explanation("twice", "b.")]) == Explanation("other", "a.")


def test_a_factor_that_other_arrays_contradict_is_not_told():
    def found(*factors, **sizes):
        return common([explaining.explain(factor * some(4), some(4), sizes=sizes) for factor in factors])

    assert found(-0.3, -0.3001).name == "negative_factor"
    assert found(-0.3, -0.4) == Explanation("other", explain(-0.3 * some(4) + 1e-2 * np.arange(4), some(4)))
    assert found(2 * math.pi, 0.3).name == found(0.3, 2 * math.pi).name == "other"
    assert found(40**0.5, 40**0.5, units=40).message == "it is ours times √40, the root of the number of units."
    assert common([explaining.explain(some(4) + shift, some(4)) for shift in (3.3, 4.4)]).name == "other"


def test_what_is_not_finite_is_counted_and_compared_with_what_is_expected_there():
    expected, nan = np.array([-1.0, 0.0, 1.0, -1.0]), np.nan
    assert explain(np.array([nan, 0.0, 1.0, nan]), expected).startswith("2 of 4 numbers are nan where -1 is expected")
    says = explain(np.array([nan, nan, np.inf, -1.0]), expected)
    assert says.startswith("3 of 4 numbers are nan or infinite where another number, such as -1, is expected:")


def test_a_gradient_that_is_nan_is_told_of_where():
    assert "`ops.where` differentiates both" in explain(np.array([np.nan, 1.0]), np.ones(2), gradient=True)
