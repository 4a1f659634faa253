"""Run by test_scale_out.py in a process of its own: trains on one device, then on two virtual ones; prints JSON."""

import json
import os

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"

if os.environ["KERAS_BACKEND"] == "tensorflow":
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras  # noqa: E402  after the devices are there
import numpy as np  # noqa: E402

import vaekit as vk  # noqa: E402

X = np.random.default_rng(0).random((40, 4, 4, 1)).astype("float32")


def trained(scale):
    """History and weights after four steps of SGD, which go along the gradient.

    Each of TensorFlow's replicas draws noise of its own: there q(z|x) is next to a point, and the KL in closed form.
    """
    keras.utils.set_random_seed(0)
    narrow = (-40, -39) if keras.backend.backend() == "tensorflow" else None
    posterior = vk.layers.DiagonalNormal(2, log_variance_range=narrow)
    encoder = keras.Sequential([vk.layers.MLP(8, "tanh"), posterior])
    decoder = keras.Sequential([vk.layers.MLP(8, "tanh"), vk.layers.Normal((4, 4, 1), scale=scale)])
    if scale == "shared":  # what a layer adds to the loss TensorFlow's replicas mix up where they meet to agree on σ*
        decoder.layers[0].activity_regularizer = keras.regularizers.L2(0.1)
    vae = vk.VAE(encoder, decoder, seed=0)
    vae.compile(keras.optimizers.SGD(0.1), objective=vk.objectives.ELBO(analytic_kl=True))
    vae.build((None, 4, 4, 1))
    rng = np.random.default_rng(1)
    for weight in vae.trainable_variables:
        weight.assign(rng.normal(scale=0.3, size=weight.shape))
    history = vae.fit(X, batch_size=20, epochs=2, shuffle=False, validation_data=X[:20], verbose=0).history
    return {"history": history, "weights": [w.tolist() for w in vae.get_weights()]}


if keras.backend.backend() == "tensorflow":
    several = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
else:
    several = keras.distribution.DataParallel()
result = {}
for scale in ("shared", "optimal"):
    one = trained(scale)
    with several.scope():
        result[scale] = [one, trained(scale)]
if keras.backend.backend() == "tensorflow":  # the keys of two draws on each replica
    generator = keras.random.SeedGenerator(0)
    draws = [several.run(tf.function(lambda: vk.backend.seed(generator))) for _ in range(2)]
    result["keys"] = [key.numpy().tolist() for draw in draws for key in several.experimental_local_results(draw)]
print(json.dumps(result))
