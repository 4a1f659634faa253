"""The variational autoencoder, the model with one latent variable."""

import keras

from vaekit.models.factors import Factor
from vaekit.models.latent_variable_model import LatentVariableModel
from vaekit.priors import StandardNormal


@keras.saving.register_keras_serializable("vaekit")
class VAE(LatentVariableModel):
    r"""Variational autoencoder: $p(z)\,p(x|z)$ with posterior $q(z|x)$, one latent variable.

    ```python
    encoder = keras.Sequential([vk.layers.MLP(500), vk.layers.DiagonalNormal(20)])
    decoder = keras.Sequential([vk.layers.MLP(500), vk.layers.Bernoulli((28, 28, 1))])
    vae = vk.VAE(encoder, decoder)
    ```

    Args:
        encoder: network from x to the distribution q(z|x).
        decoder: network from z to the distribution p(x|z).
        prior: from `vaekit.priors`; None: the standard normal.
        refinement, seed: as for `LatentVariableModel`.

    Source: Kingma & Welling 2014.
    """

    arguments = ("prior",)  # of `__init__`, beside what the configuration names

    def __init__(self, encoder, decoder, prior=None, refinement=None, seed=None, **kwargs):
        for name, network in {"encoder": encoder, "decoder": decoder}.items():
            if not isinstance(network, keras.layers.Layer):
                raise ValueError(
                    f"VAE expects its {name} to be a Keras layer or model that ends in a distribution layer; received "
                    f"{network!r}."
                )
        prior = StandardNormal() if prior is None else prior
        super().__init__(
            generative=[Factor("z", prior), Factor("x", decoder, given="z")],
            inference=[Factor("z", encoder, given="x")],
            refinement=refinement,
            seed=seed,
            **kwargs,
        )

    @property
    def encoder(self):
        return self.inference[0].layer

    @property
    def prior(self):
        return self.generative[0].layer

    @property
    def decoder(self):
        return self.generative[1].layer

    @classmethod
    def _assemble(cls, generative, inference, options):
        prior, decoder = (factor.layer for factor in generative)
        return cls(inference[0].layer, decoder, prior=prior, **options)
