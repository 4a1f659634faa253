"""Measures of a model: log p(x), what its latents tell about data, the units it uses, how good its samples are."""

from vaekit.evaluation.bidirectional import Bracket, bidirectional
from vaekit.evaluation.by_step import ByStep, by_step
from vaekit.evaluation.classification import Accuracy, classification_accuracy
from vaekit.evaluation.frechet import FID, LeNetFeatures, fid, frechet_distance, lenet_features
from vaekit.evaluation.likelihood import LogLikelihood, hmc_log_likelihood, log_likelihood, terms
from vaekit.evaluation.mutual_information import Information, information
from vaekit.evaluation.perplexity import Perplexity, perplexity
from vaekit.evaluation.pruning import remove_inactive
from vaekit.evaluation.units import ActiveUnits, active_units

__all__ = [
    "FID",
    "Accuracy",
    "ActiveUnits",
    "Bracket",
    "ByStep",
    "Information",
    "LeNetFeatures",
    "LogLikelihood",
    "Perplexity",
    "active_units",
    "bidirectional",
    "by_step",
    "classification_accuracy",
    "fid",
    "frechet_distance",
    "hmc_log_likelihood",
    "information",
    "lenet_features",
    "log_likelihood",
    "perplexity",
    "remove_inactive",
    "terms",
]
