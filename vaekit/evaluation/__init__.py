"""Measures of a model: log p(x), what its latents tell about data, the units it uses, how good its samples are."""

from vaekit.evaluation.aggression import WhileInformationRises
from vaekit.evaluation.bidirectional import Bracket, bidirectional
from vaekit.evaluation.by_step import ByStep, by_step
from vaekit.evaluation.classification import Accuracy, classification_accuracy
from vaekit.evaluation.frechet import FID, LeNetFeatures, fid, frame_fid, frechet_distance, lenet_features
from vaekit.evaluation.futures import BestOf, Curve, best_of
from vaekit.evaluation.likelihood import LogLikelihood, bits_per_dimension, hmc_log_likelihood, log_likelihood, terms
from vaekit.evaluation.mutual_information import Information, information
from vaekit.evaluation.perplexity import Perplexity, perplexity
from vaekit.evaluation.pruning import remove_inactive
from vaekit.evaluation.units import ActiveUnits, active_units
from vaekit.evaluation.video import psnr, ssim
from vaekit.evaluation.word_accuracy import WordAccuracy, word_accuracy

__all__ = [
    "FID",
    "Accuracy",
    "ActiveUnits",
    "BestOf",
    "Bracket",
    "ByStep",
    "Curve",
    "Information",
    "LeNetFeatures",
    "LogLikelihood",
    "Perplexity",
    "WhileInformationRises",
    "WordAccuracy",
    "active_units",
    "best_of",
    "bidirectional",
    "bits_per_dimension",
    "by_step",
    "classification_accuracy",
    "fid",
    "frame_fid",
    "frechet_distance",
    "hmc_log_likelihood",
    "information",
    "lenet_features",
    "log_likelihood",
    "perplexity",
    "psnr",
    "remove_inactive",
    "ssim",
    "terms",
    "word_accuracy",
]
