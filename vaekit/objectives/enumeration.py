"""The ELBO of a model with classes among its latents, which are summed over."""

from dataclasses import replace

import keras
from keras import ops

from vaekit.backend import tfd
from vaekit.objectives.base import Objective, reconstructions, report, require_reparameterized, sampled_kl


@keras.saving.register_keras_serializable("vaekit")
class EnumeratedELBO(Objective):
    r"""The ELBO with a sum over one categorical latent y in place of draws: no estimate, and no score function.

    $\sum_k q(y{=}k|x)\, \big(\log p(x, y{=}k, z_k) - \log q(z_k|x, y{=}k) - \log q(y{=}k|x)\big)$, with one draw
    $z_k \sim q(z|x, y{=}k)$ of the other latents for each class. The cost is that of K samples.

    ```python
    model = vk.LatentVariableModel(  # p(y) p(z) p(x|y, z),  q(y|x) q(z|x, y)
        [vk.Factor("y", vk.priors.Classes()), vk.Factor("z", vk.priors.StandardNormal()),
         vk.Factor("x", p_x, given=("y", "z"))],
        [vk.Factor("y", q_y, given="x"), vk.Factor("z", q_z, given=("x", "y"))])
    model.compile("adam", objective=vk.objectives.EnumeratedELBO("y"))
    ```

    Args:
        latent: y, the first of the inference factors, whose network ends in `vaekit.layers.OneHotCategorical`.
        beta: weight of the KL in the loss: a number, a `keras.Variable`, or a schedule such as `WarmUp`.

    Raises:
        ValueError: when called, a model whose first inference factor is not of this latent, or not categorical, or of
            several labels; another latent that cannot be reparameterized.

    Source: Kingma et al. 2014, eq. 7.
    """

    def __init__(self, latent, beta=1.0):
        super().__init__(1, beta)
        if not isinstance(latent, str):
            raise ValueError(f'EnumeratedELBO expects the name of a latent, "y" say; received {latent!r}.')
        self.latent = latent

    def __call__(self, model, data, step, training):
        classes = self._classes(model)  # K
        given = model.given(data, training)
        rows = ops.shape(given.data[model.data_names[0]])[0]  # B
        one_hot = ops.broadcast_to(ops.eye(classes, dtype="float32")[:, None], (classes, rows, classes))  # [K, B, K]
        trace = given.draw(classes, known={self.latent: one_hot})
        y = getattr(trace.q[self.latent], "distribution", None)
        if not isinstance(y, tfd.OneHotCategorical):
            raise ValueError(
                f"EnumeratedELBO sums over the classes of {self.latent!r}, but its posterior is "
                f"{trace.q[self.latent].name}: let its network end in vaekit.layers.OneHotCategorical(classes)."
            )
        others = {name: q for name, q in trace.q.items() if name != self.latent}
        require_reparameterized(replace(trace, q=others), "EnumeratedELBO")
        share = ops.exp(trace.log_q[self.latent])  # q(y=k|x), [K, B]
        loss = -ops.sum(share * trace.weighted(self.weight(step)), axis=0)  # [B]
        bound = ops.sum(share * trace.log_weights(), axis=0)
        terms = (
            {n: classes * share * v for n, v in part.items()} for part in (reconstructions(trace), sampled_kl(trace))
        )
        return loss, report(bound, *terms)  # which takes means over the classes

    def _classes(self, model):
        """K; raises ValueError for a model without this latent in the first place of q, or with several in it."""
        if not model.latents or model.latents[0] != self.latent:
            raise ValueError(
                f"EnumeratedELBO({self.latent!r}) sums over the latent that q has first, since the others are drawn "
                f"for each class; the latents of this model are {model.latents}, in q's order."
            )
        if len(shape := model.event_shapes[self.latent]) != 1:
            raise ValueError(
                f"EnumeratedELBO sums over the classes of one label, a one-hot vector; {self.latent!r} has shape "
                f"{list(shape)}. Make it a latent for each label, or use VIMCO."
            )
        return shape[0]

    def get_config(self):
        config = {name: value for name, value in super().get_config().items() if name != "samples"}
        return {**config, "latent": self.latent}
