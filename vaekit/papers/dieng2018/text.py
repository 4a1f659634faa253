r"""Sentences: LSTM models with skip connections and semi-amortized inference (Dieng et al. 2019; Kim et al. 2018).

```python
from vaekit.papers.dieng2018 import text as paper

ptb = vk.datasets.load("ptb")
model = paper.lstm(ptb, settings=paper.PTB)  # skip=True: Skip-VAE; refined=True: SA-VAE; latents=0: the LSTM alone
paper.fit(model, ptb, settings=paper.PTB)
print(vk.evaluation.perplexity(model, ptb.test))
```

z enters twice already without skips: joined to each embedded word, and as $h_0 = W z$. Of one LSTM layer, Skip-VAE adds
z before the softmax alone.

Otherwise than in the published code: our encoder reads a sentence without its start mark; refinement is differentiated
exactly (the code: by finite differences in float32, clipped in between), and clips each sentence's gradient, not the
batch's; padding is no word of the softmax. Their perplexities are by 200 importance samples (Yahoo), and by the bound
(Penn Treebank, a figure of the literature for an ordinary VAE, in none of the two papers).
"""

import math
from dataclasses import dataclass, replace

import keras
import numpy as np

from vaekit import evaluation
from vaekit.batches import BatchesByLength
from vaekit.datasets.grammar import Grammar
from vaekit.inference import Refinement
from vaekit.layers import AutoregressiveTokens, DiagonalNormal, Tokens
from vaekit.models import VAE, Factor, LatentVariableModel
from vaekit.objectives import ELBO, Cyclic
from vaekit.papers.cell import Figure, mean, numbers

L = keras.layers


@dataclass(frozen=True)
class Settings:
    """Settings for Yahoo's answers; `PTB` has those for the Penn Treebank, `GRAMMAR` ours for vaekit's grammar.

    Attributes:
        embedding, units: widths of the embedded words (encoder's and decoder's apart), and of both LSTMs.
        dropout: of the decoder's embedded words and of its LSTM's outputs; none of z.
        spread: all weights start as draws from U(−spread, spread), biases too.
        adam: whether Adam takes the steps, or plain gradient descent.
        learning_rate, clip: its rate, and the greatest norm of the gradient of all weights together.
        batch_size, multiple, fixed, full: see `vaekit.batches.BatchesByLength`: equal lengths, the same batches every
            epoch. The Penn Treebank's have 129 shapes, which JAX compiles apart; with multiple=8 and full=True, 10.
        epochs: at most.
        warm_up: epochs in which β rises from 0.1 to 1.
        patience, first_halving, lasting, least_rate, most_halvings: see `Halving`.
        refinement_steps, refinement_rate, refinement_momentum, refinement_clip: of semi-amortized inference.
        word_dropout: probability that an earlier word is hidden from the decoder in training.
        free_bits: nats of each latent's KL that cost nothing.
        cycles: how often β rises; each time it stays at 1 as long as it took.
        samples: of importance sampling, for the perplexity; 0: by the bound.
        threshold: of activity, for a unit to count as active.
    """

    embedding: int = 512
    units: int = 1024
    dropout: float = 0.5
    spread: float = 0.1
    adam: bool = False
    learning_rate: float = 1.0
    clip: float = 5.0
    batch_size: int = 32
    multiple: int = 1
    fixed: bool = True
    full: bool = False
    epochs: int = 30
    warm_up: int = 9
    patience: int = 1
    first_halving: int = 15
    lasting: bool = True
    least_rate: float = 0.03
    most_halvings: int = 100
    refinement_steps: int = 20
    refinement_rate: float = 1.0
    refinement_momentum: float = 0.5
    refinement_clip: float = 5.0
    word_dropout: float = 0.0
    free_bits: float = 0.0
    cycles: int = 1
    samples: int = 200
    threshold: float = 0.01


SETTINGS = Settings()  # Yahoo's answers
PTB = Settings(
    embedding=256, units=256, adam=True, learning_rate=1e-3, epochs=100, warm_up=10,
    patience=2, first_halving=0, lasting=False, least_rate=0.0, most_halvings=5, samples=0,
)  # fmt: skip
GRAMMAR = replace(
    PTB, embedding=64, units=64, batch_size=100, multiple=5, fixed=False, learning_rate=3e-3, epochs=20, warm_up=0,
    refinement_steps=5, refinement_rate=10.0, samples=100,
)  # fmt: skip


class Halving(keras.callbacks.Callback):
    """Halves the learning rate where the validation bound has not become better, and ends training in the end.

    Args:
        patience: epochs without a better bound before the rate is halved.
        first: the first epoch after which it may be, from 1.
        lasting: whether it is then halved after every epoch, better or not.
        least: training ends below this rate.
        most: training ends instead of one halving more than these.
    """

    def __init__(self, patience, first=0, lasting=False, least=0.0, most=100):
        super().__init__()
        self.patience, self.first, self.lasting, self.least, self.most = patience, first, lasting, least, most
        self.best, self.waited, self.halvings, self.always = -math.inf, 0, 0, False

    def on_epoch_end(self, epoch, logs=None):
        bound = logs["val_bound"]
        self.waited = 0 if bound > self.best else self.waited + 1
        self.best = max(self.best, bound)
        late = self.waited >= self.patience and epoch + 1 >= self.first
        self.always = self.always or (self.lasting and late)
        if not (late or self.always):
            return
        if self.halvings == self.most:
            self.model.stop_training = True
            return
        rate = float(self.model.optimizer.learning_rate) / 2
        self.model.optimizer.learning_rate = rate
        self.waited, self.halvings = 0, self.halvings + 1
        if rate < self.least:
            self.model.stop_training = True


def lstm(data, latents=32, skip=False, refined=False, settings=SETTINGS, seed=None):
    r"""VAE of sentences, compiled: an LSTM that reads, and one that writes. Without latents the latter alone.

    Args:
        data: a `vaekit.datasets.Dataset` of sentences, which has a vocabulary.
        latents: units of z; the paper's are 32 and 64. 0: a language model, p(x) without z.
        skip: whether z enters the softmax, too (Skip-VAE).
        refined: whether inference is semi-amortized (SA-VAE).
        seed: integer, of the weights, of the order of the sentences, of dropout and of sampling.

    Raises:
        ValueError: data without a vocabulary.
    """
    if getattr(data, "vocabulary", None) is None:
        raise ValueError(
            'This model is built by a data set of sentences, vaekit.datasets.load("ptb") or "grammar"; received '
            f"{getattr(data, 'name', type(data).__name__)!r}, which has no vocabulary."
        )
    s, (length,), words = settings, data.event_shape, len(data.vocabulary)
    drop = (L.Dropout(s.dropout, seed=None if seed is None else seed + i) for i in (1, 2))
    decoder = AutoregressiveTokens(
        [L.Embedding(words, s.embedding), next(drop), L.LSTM(s.units, return_sequences=True)]
        + [next(drop), Tokens(length, words)],
        skip=skip,
        initial_state=latents > 0,
        word_dropout=s.word_dropout,
    )
    if latents:
        reading = [L.Embedding(words, s.embedding, mask_zero=True), L.LSTM(s.units)]
        encoder = keras.Sequential([*reading, DiagonalNormal(latents)])
        model = VAE(encoder, decoder, refinement=refinement(s) if refined else None, seed=seed)
    else:
        model = LatentVariableModel([Factor("x", decoder)], inference=[], seed=seed)
    model.build((None, length))
    start = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(start.uniform(-s.spread, s.spread, variable.shape))
    kind = keras.optimizers.Adam if s.adam else keras.optimizers.SGD
    period = 2 * s.warm_up * len(batches(data, s))
    beta = Cyclic(period, start=0.1, cycles=s.cycles) if period and latents else 1.0
    objective = ELBO(analytic_kl=True, beta=beta, free_bits=s.free_bits)
    model.compile(kind(s.learning_rate, global_clipnorm=s.clip), objective=objective)
    return model


def refinement(settings=SETTINGS):
    r"""Semi-amortized inference as in Kim et al.'s code: 20 steps, each at new noise.

    Their steps descend the batch's mean loss, clipped over the batch: see `vaekit.papers.dieng2018.refinement`.
    """
    s = settings
    return Refinement(
        s.refinement_steps,
        learning_rate=s.refinement_rate / s.batch_size,
        momentum=s.refinement_momentum,
        clip=s.refinement_clip * math.sqrt(s.batch_size),
        fresh_noise=True,
    )


def batches(data, settings=SETTINGS, seed=0):
    """The training sentences, as `vaekit.batches.BatchesByLength`."""
    s = settings
    return BatchesByLength(data.train, s.batch_size, seed=seed, multiple=s.multiple, fixed=s.fixed, full=s.full)


def fit(model, data, epochs=None, settings=SETTINGS, **options):
    """Trains as the papers do; the last weights stay.

    Args:
        epochs: at most; None: the settings'.
        settings: the model's own, whose warm-up counts steps of their batches.
        **options: as for a model's `fit`.
    """
    s, seed = settings, int(model.seed_generator.get_config()["seed"] or 0)
    train = batches(data, s, seed)
    validation = BatchesByLength(data.validation, s.batch_size, shuffle=False, full=True)
    halving = Halving(s.patience, s.first_halving, s.lasting, s.least_rate, s.most_halvings)
    options["callbacks"] = [halving, *(options.get("callbacks") or [])]
    return model.fit(train, epochs=s.epochs if epochs is None else epochs, validation_data=validation, **options)


def measure(model, data, seed=0, progress=True, checkpoint=None, settings=SETTINGS):
    """Perplexity, ELBO, KL, mutual information and active units on the test sentences; without latents log p(x)."""
    return _measured(model, data, seed, progress, checkpoint, settings)[0]


def _measured(model, data, seed, progress, checkpoint, settings):
    """The figures of `measure`, and log p(x) of the test sentences, `[N]`."""
    how = dict(seed=seed, progress=progress, checkpoint=checkpoint)
    by_samples = evaluation.perplexity(model, data.test, settings.samples or None, **how)
    if not model.latents:
        alone = {"perplexity": Figure(by_samples.value), "log p(x)": mean(by_samples.per_sentence)}
        return alone, by_samples.per_sentence
    bound = evaluation.terms(model, data.test, ELBO(analytic_kl=True), batch_size=32, seed=seed)
    info = evaluation.information(model, data.test, seed=seed, progress=progress)
    figures = {
        "perplexity": Figure(by_samples.value),
        "ELBO": mean(bound["bound"]),
        "KL": mean(bound["kl"]),
        "MI": Figure(info.mutual_information, info.standard_errors["mutual_information"]),
        "active units": Figure(numbers(evaluation.active_units(model, data.test, settings.threshold))),
    }
    return figures, by_samples.per_sentence


def measure_grammar(model, data, seed=0, progress=True, checkpoint=None, settings=GRAMMAR):
    r"""What `measure` and `judged` do, and how far the model is from the grammar, on the test sentences.

    $\mathrm{KL}(p \| p_\theta) = \mathbb E_p [\log p(x) - \log p_\theta(x)]$ of the grammar's p and the model's.
    """
    figures, log_p = _measured(model, data, seed, progress, checkpoint, settings)
    divergence = mean(Grammar().log_prob(data.test) - log_p)
    return figures | {"KL(grammar‖model)": divergence} | judged(model, data, seed)


def judged(model, data, seed=0):
    """What the grammar says of as many samples as there are test sentences, and of these sentences' reconstructions.

    How many samples have a probability, and a topic of posterior probability above 0.9, and are distinct; how many
    greedy decodings of posterior means have the sentence's most probable topic, and its tense.
    """
    grammar, test = Grammar(), data.test
    drawn = np.asarray(model.sample(len(test), seed=seed))
    again = np.asarray(model.decoder.generate(model.encode(test, seed=seed), temperature=0))
    return {
        "grammatical samples": _share(np.isfinite(grammar.log_prob(drawn))),
        "samples of one topic": _share(grammar.posterior(drawn).max(axis=1) > 0.9),  # NaN is not
        "distinct samples": Figure(len(np.unique(drawn, axis=0))),
        "topic kept": _share(_topics(grammar, again) == _topics(grammar, test)),
        "tense kept": _share(grammar.tenses(again) == grammar.tenses(test)),
    }


def _topics(grammar, tokens):
    """The most probable topic of each sentence, `[N]`; −1 for no sentence."""
    posterior = grammar.posterior(tokens)
    return np.where(np.isnan(posterior).any(axis=1), -1, posterior.argmax(axis=1))


def _share(which):
    """A `Figure` of how many of N are so, in percent."""
    return mean(100.0 * which)


def build(data, model, settings=SETTINGS, seed=None):
    """The model of a cell, by its name: "skip-sa-vae-32", or "lstm_lm"."""
    return lstm(data, **parts(model), settings=settings, seed=seed)


def parts(model):
    """What a cell's model has, by its name: dict of options of `lstm`."""
    if model == "lstm_lm":
        return dict(latents=0, skip=False, refined=False)
    *words, latents = model.split("-")
    return dict(latents=int(latents), skip="skip" in words, refined="sa" in words)


def operations(model, words, settings=SETTINGS):
    """Counts floating-point operations of a training step for one token: products of matrices alone.

    A weight takes 2 forward, and 4 backward. Each step of refinement takes the decoder forward and backward, and is
    itself differentiated: thrice as many.
    """
    s, has = settings, parts(model)
    encoder = 4 * s.units * (s.embedding + s.units) if has["latents"] else 0
    decoder = 4 * s.units * (s.embedding + has["latents"] + s.units) + words * (s.units + has["latents"] * has["skip"])
    return 6 * (encoder + decoder * (1 + 3 * s.refinement_steps * has["refined"]))


METRIC = (
    "All test sentences. Perplexity a word, end marks included, by {how}. ELBO: one sample of z a sentence, KL in "
    "closed form. Mutual information: KL less that of the aggregate posterior. Active units: variance of posterior "
    "means above 0.01 over all sentences (the published code: above 0.02, over the last batch)."
)
ALONE = "All test sentences. Perplexity a word, end marks included, by log p(x), which is exact without latents."

GRAMMAR_METRIC = (
    METRIC.format(how="100 importance samples") + " Exact are the grammar's own perplexity, its −entropy, and what a "
    "sentence tells about its topic (2.25 nats) and its tense (1.10). KL(grammar‖model): mean of log p(x) − log "
    "p_θ(x). 2,000 samples: how many have a probability, a topic of posterior probability above 0.9, and are "
    "distinct. Kept: most probable topic, and tense, in the greedy decoding of a test sentence's posterior mean."
)

# Yahoo answers. model: (perplexity, ELBO, KL, active units).
YAHOO = {
    "VAE-32": (62.38, -330.1, 0.005, 0),
    "Skip-VAE-32": (61.71, -330.5, 0.34, 1),
    "SA-VAE-32": (59.85, -327.5, 5.47, 14),
    "Skip-SA-VAE-32": (60.87, -330.3, 15.05, 32),
    "SA-VAE-64": (60.20, -327.3, 3.09, 10),
    "Skip-SA-VAE-64": (60.55, -330.8, 22.54, 64),
    "LSTM LM": (61.60, None, None, None),
}
# Penn Treebank, in the literature: a VAE of one LSTM each way. model: (perplexity, ELBO).
TREEBANK = {
    "VAE-32": (105.48, -102.10, None, None),
    "Skip-VAE-32": (None, None, None, None),
    "SA-VAE-32": (None, None, None, None),
    "Skip-SA-VAE-32": (None, None, None, None),
    "LSTM LM": (None, None, None, None),
}
# vaekit's grammar, whose figures are exact. model: (perplexity, ELBO, MI).
EXACT = {name: (20.36, -28.88, 3.35) for name in ("VAE-32", "Skip-VAE-32", "SA-VAE-32", "Skip-SA-VAE-32")}
