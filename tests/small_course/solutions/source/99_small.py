# %% [markdown]
# # A small exercise
#
# {table}

# %%
import os

from keras import ops  # before what `vaekit grade` keeps from running

from vaekit.course import exercises

exercises.__path__.append(os.environ["VAEKIT_SMALL_COURSE"])

from vaekit.course.exercise import Exercise

exercise = Exercise("99")

# %% [markdown]
# ## {scaled}
#
# Multiply by the exponential of the rate.


# %% question="scaled"
def scaled(x, rate):
    """x exp(rate), of the same shape."""
    ### BEGIN SOLUTION
    return x * ops.exp(rate)
    ### END SOLUTION


# %% tags=["solution"]
print("explained:", scaled(2.0, 0.0))

# %% [markdown]
# ## {total}
#
# Add up the last axis.

# %% [markdown] tags=["solution"]
# Explained: add, do not average.


# %% question="total"
def total(x):
    """[N, D] → [N]."""
    ### BEGIN SOLUTION
    return ops.sum(x, axis=-1)
    ### END SOLUTION


# %% [markdown]
# ## {gap}
#
# How far is 3/4 from 1?

# %% question="gap"
gap = ...
### BEGIN SOLUTION
gap = 0.25
### END SOLUTION

# %% locked=false
print("room to play")
