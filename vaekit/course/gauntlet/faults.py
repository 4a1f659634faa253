"""The faults: each is one changed method of `Patient`, whose own are right."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from vaekit import datasets
from vaekit.course.gauntlet.patient import LATENTS, D, Patient, flat, log_mean_exp


@dataclass(frozen=True)
class Fault:
    """What is wrong with a patient.

    Attributes:
        patient: its class.
        lesson: where it was met, such as "02"; "" for one that no lesson has.
        cause, repair: sentences.
        healthy: class of the same patient without the fault.
    """

    patient: type
    lesson: str
    cause: str
    repair: str
    healthy: type = Patient


FAULTS = {}  # by name


def _fault(lesson, cause, repair, healthy=Patient):
    def register(patient):
        FAULTS[patient.__name__] = Fault(patient, lesson, cause, repair, healthy)
        return patient

    return register


@_fault("02", "The reconstruction is averaged over the pixels.", "Sum over pixels.")
class mean_over_pixels(Patient):
    def reconstruction(self, x, z):
        return super().reconstruction(x, z) / D


@_fault("01", "The code is cut off from the encoder: no gradient passes.", "Leave z = μ + σε as it is, in ops.")
class cut_path(Patient):
    def draw(self, mean, log_variance):
        return ops.stop_gradient(super().draw(mean, log_variance))


@_fault("", "Each image is compared with the reconstruction of another.", "Shuffle inputs and targets together.")
class wrong_pairs(Patient):
    def reconstruction(self, x, z):
        return super().reconstruction(ops.roll(x, 1, axis=0), z)


@_fault("11", "The decoder sees the image that it describes.", "Give the decoder z, and what is known beside x.")
class decoder_sees_x(Patient):
    def decoder_inputs(self):
        return LATENTS + D

    def decode(self, z, x):
        return self.decoder(ops.concatenate([z, x], axis=1))


@_fault("02", "The KL is averaged over the latents.", "Sum over latents.")
class mean_over_latents(Patient):
    def kl(self, mean, log_variance):
        return super().kl(mean, log_variance) / LATENTS


@_fault("01", "exp(log σ²) stands where σ should, in the draw alone.", "σ = exp(log σ² / 2).")
class variance_for_scale(Patient):
    def draw(self, mean, log_variance):
        return super().draw(mean, 2 * log_variance)


@_fault("01", "All images of a batch share one ε.", "Draw ε with a row for each image.")
class one_noise_for_all(Patient):
    def draw_noise(self, n):
        return ops.repeat(super().draw_noise(1), n, axis=0)


@_fault("04", "The same ε at every step: its seed is fixed.", "A generator of seeds, not a seed.")
class same_noise_always(Patient):
    def draw_noise(self, n):
        return ops.repeat(keras.random.normal((1, LATENTS), seed=7), n, axis=0)


@_fault("02", "A sigmoid before a likelihood that takes logits.", "Leave the decoder's last layer linear.")
class sigmoid_twice(Patient):
    activation = "sigmoid"


@_fault("02", "Grey values under a Bernoulli likelihood.", "Draw 0 or 1, or take a likelihood of grey values.")
class grey_pixels(Patient):
    def seen(self, grey):
        return grey


class _few(Patient):
    """Trained for long on a few images, of which it sees the same draws every time."""

    epochs, examples = 150, 200

    def seen(self, grey):
        return (grey > 0.5).astype("float32")

    def fresh(self):
        return self.seen(flat(datasets.load("digits").validation))


@_fault("02", "The test images are among the training images.", "Split first; look for equal rows.", _few)
class test_in_training(_few):
    def split(self, digits):
        train, test = super().split(digits)
        return np.concatenate([train[: self.examples - 100], test[:100]]), test[:100]


@_fault("08", "β has stopped below 1, and the loss is read as a bound.", "β = 1 at the end; report the bound.")
class discounted_kl(Patient):
    beta = 0.2


@_fault("03", "Draws and images are in one mean of weights.", "The logarithm for each image, then their mean.")
class one_mean_over_all(Patient):
    def likelihood(self, log_w):
        return log_mean_exp(log_w.reshape(-1, 1))[0]


@_fault("04", "The mean of the logarithms in place of the logarithm of the mean.", "logsumexp over draws − log S.")
class mean_of_logs(Patient):
    def likelihood(self, log_w):
        return np.mean(log_w)


@_fault("06", "Samples are decoded from codes that the prior does not draw.", "Draw from the model's prior.")
class uniform_codes(Patient):
    def prior_codes(self, n):
        return self.rng.uniform(size=(n, LATENTS))


@_fault("02", "log σ² is missing from the KL.", "½ Σ (μ² + σ² − 1 − log σ²).")
class kl_without_entropy(Patient):
    def kl(self, mean, log_variance):
        return ops.sum(mean**2 + ops.exp(log_variance) - 1, axis=1) / 2
