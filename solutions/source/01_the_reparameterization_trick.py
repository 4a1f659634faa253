# %% [markdown]
# # Exercise 01 · The reparameterization trick
#
# It belongs to [lesson 01](../../lessons/01_the_reparameterization_trick.ipynb).

# %%
from vaekit.course.checking import Exercise  # first: it keeps the backend's start-up messages out of the notebook

exercise = Exercise("01")

from keras import ops

# %% [markdown]
# ## A Gaussian
#
# A sample of $\mathcal N(\mu, \sigma^2)$, written as a function of noise that has no parameters. The network gives
# $\lambda = \log\sigma^2$.


# %% question="gaussian_sample"
def gaussian_sample(mean, log_variance, noise):
    """A sample of N(mean, exp(log_variance)).

    Args:
        mean, log_variance, noise: tensors of one shape; noise ~ N(0, 1).

    Returns: a tensor of that shape, differentiable with respect to mean and log_variance.
    """
    ### BEGIN SOLUTION
    return mean + ops.exp(0.5 * log_variance) * noise  # z = μ + σ ε
    ### END SOLUTION
