"""StudentT against SciPy."""

import numpy as np
import pytest
from likelihoods import IMAGE, H, X, array, check_extreme_parameters
from scipy import stats

from vaekit.layers import StudentT


@pytest.mark.parametrize("degrees", ["pixel", "shared", 3.5])
def test_student_t_is_scipys(degrees):
    layer = StudentT(IMAGE, degrees, mean_activation="sigmoid")
    p = layer(H)
    heads = {name: array(head(H)).reshape(X.shape) for name, head in layer.heads.items()}
    if degrees == "shared":
        layer.degrees.assign(0.7)
        p = layer(H)
    nu = 3.5 if degrees == 3.5 else 2 + np.logaddexp(0, heads.get("degrees", 0.7))
    mean = 1 / (1 + np.exp(-heads["mean"]))
    expected = stats.t(nu, mean, np.exp(heads["log_scale"])).logpdf(X).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(array(p.log_prob(X)), expected, rtol=1e-4)
    np.testing.assert_allclose(array(p.mean()), mean, rtol=1e-5)


def test_extreme_parameters_stay_finite_with_finite_gradients():
    check_extreme_parameters(StudentT((2, 2, 3)))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: StudentT(3, degrees_of_freedom=1), "greater than 1"),
        (lambda: StudentT(3, degrees_of_freedom="image"), "received 'image'"),
    ],
)
def test_constructors_refuse_what_makes_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()
