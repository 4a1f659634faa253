"""Early stopping against what each epoch's weights were."""

import functools

import keras
import numpy as np
import pytest
from oracles import binary_images, small_vae

from vaekit.objectives import ELBO, Cyclic, WarmUp
from vaekit.training import EarlyStopping

X = binary_images()


class Watch(keras.callbacks.Callback):
    """Weights and terms at the end of each epoch; `values`, if given, take the place of the validation bound."""

    def __init__(self, values=None):
        super().__init__()
        self.values, self.weights, self.logs = values, [], []

    def on_epoch_end(self, epoch, logs=None):
        if self.values is not None:
            logs["val_bound"] = self.values[epoch]
        self.weights.append(self.model.get_weights())
        self.logs.append(dict(logs))


@functools.cache
def compiled(warm_up):
    return small_vae(objective=ELBO(beta=WarmUp(4) if warm_up else 1.0))


def fitted(values, stop, warm_up=False):
    """A model that took one step an epoch, warming up for four if at all, while its validation bounds were `values`."""
    model, watch = compiled(warm_up), Watch(values)
    model.step.assign(0)
    model.fit(X, batch_size=64, epochs=len(values), validation_data=X, callbacks=[watch, stop], verbose=0)
    return model, watch


def assert_weights_of_epoch(model, watch, epoch):
    for a, b in zip(model.get_weights(), watch.weights[epoch - 1], strict=True):
        np.testing.assert_array_equal(a, b)
    others = [w for i, w in enumerate(watch.weights, 1) if i != epoch]
    assert all(np.abs(w[0] - model.get_weights()[0]).max() > 0 for w in others)


def test_training_stops_after_patience_and_returns_to_the_best_epoch():
    model, watch = fitted([-9, -5, -7, -6, -8, -4, -3], EarlyStopping(patience=3))
    assert len(watch.weights) == 5
    assert_weights_of_epoch(model, watch, 2)


def test_the_best_weights_return_also_at_the_last_epoch():
    model, watch = fitted([-9, -5, -7, -6], EarlyStopping(patience=50))
    assert_weights_of_epoch(model, watch, 2)
    model, watch = fitted([-9, -5, -7, -6], EarlyStopping(patience=50, restore_best_weights=False))
    assert_weights_of_epoch(model, watch, 4)


def test_epochs_within_warm_up_neither_count_nor_can_be_the_best():
    values = [-1, -2, -3, -5, -7, -8, -1]  # β = 1 from the end of epoch 4 on
    model, watch = fitted(values, EarlyStopping(patience=2), warm_up=True)
    assert len(watch.weights) == 6
    assert_weights_of_epoch(model, watch, 4)
    model, watch = fitted(values, EarlyStopping(patience=2))
    assert len(watch.weights) == 3
    assert_weights_of_epoch(model, watch, 1)


def test_warm_up_that_outlasts_training_keeps_the_last_weights_and_says_so_once():
    with pytest.warns(UserWarning, match="warming up") as said:
        model, watch = fitted([-1, -2, -3], EarlyStopping(patience=1), warm_up=True)
    assert len([w for w in said if "step 3, WarmUp(steps=4" in str(w.message)]) == 1
    assert_weights_of_epoch(model, watch, 3)


def test_epochs_within_a_cycle_that_rises_neither_count_nor_can_be_the_best():
    values = [-1, -1, -9, -4, -1, -1, -8, -3, -1]  # β rises over the steps 0 and 1 of each 4, for two cycles
    model = small_vae(objective=ELBO(beta=Cyclic(4, cycles=2)))
    rising = [model.objective.beta.rises(step) for step in range(1, 10)]
    assert rising == [True, False, False, True, True, False, False, False, False]
    assert rising == [float(model.objective.beta(step)) < 1 for step in range(1, 10)]
    watch = Watch(values)
    model.fit(X, batch_size=64, epochs=9, validation_data=X, callbacks=[watch, EarlyStopping(patience=4)], verbose=0)
    assert_weights_of_epoch(model, watch, 2)


def test_gains_below_min_delta_are_none():
    _, watch = fitted([-5, -4.9, -4.8, -4.7, -4.6], EarlyStopping(patience=2, min_delta=0.5))
    assert len(watch.weights) == 3
    _, watch = fitted([-5, -4.9, -4.8, -4.7, -4.6], EarlyStopping(patience=2, min_delta=0.05))
    assert len(watch.weights) == 5


def test_the_best_epoch_is_the_one_by_the_terms_own_direction():
    model, watch = small_vae(), Watch()
    best = {"val_bound": np.argmax, "reconstruction": np.argmax, "val_loss": np.argmin, "kl": np.argmin}
    stops = {monitor: EarlyStopping(patience=50, monitor=monitor) for monitor in best}
    model.fit(X, batch_size=32, epochs=5, validation_data=X, callbacks=[watch, *stops.values()], verbose=0)
    for monitor, stop in stops.items():
        epoch = best[monitor]([logs[monitor] for logs in watch.logs])
        assert stop.best == watch.logs[epoch][monitor]
        for a, b in zip(stop.best_weights, watch.weights[epoch], strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_callback_serves_again():
    stop = EarlyStopping(patience=1)
    for _ in range(2):
        model, watch = fitted([-3, -4, -5], stop)
        assert len(watch.weights) == 2
        assert_weights_of_epoch(model, watch, 1)


def test_early_stopping_says_what_it_needs():
    model = small_vae()
    with pytest.raises(ValueError, match=r"'val_elbo'.*'bound', 'reconstruction', 'kl'"):
        model.fit(X, validation_data=X, callbacks=[EarlyStopping(monitor="val_elbo")], verbose=0)
    assert int(model.step) == 0
    with pytest.raises(ValueError, match=r"validation_data=\.\.\..*monitor='bound'"):
        model.fit(X, epochs=9, callbacks=[EarlyStopping()], verbose=0)
    assert int(model.step) == 1
    model.fit(X, callbacks=[EarlyStopping(monitor="bound")], verbose=0)
    with pytest.raises(ValueError, match="patience"):
        EarlyStopping(patience=0)
