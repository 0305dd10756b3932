"""A variational autoencoder of handwritten digits, with a training step of its own.

    KERAS_BACKEND=mxnet python examples/vae.py

How gradients are taken is the one thing that Keras leaves to its backends, so there is a
`train_step` for each; all else is the same.
"""

import data
import keras
from keras import layers, ops


class VAE(keras.Model):
    """Encodes digits as `latent` normally distributed numbers and decodes these."""

    def __init__(self, latent: int):
        super().__init__()
        self.encoder = keras.Sequential(
            [
                layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
                layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
                layers.Flatten(),
                layers.Dense(16, activation="relu"),
                layers.Dense(2 * latent),
            ]
        )
        self.decoder = keras.Sequential(
            [
                layers.Dense(7 * 7 * 32, activation="relu"),
                layers.Reshape((7, 7, 32)),
                layers.Conv2DTranspose(32, 3, strides=2, padding="same", activation="relu"),
                layers.Conv2DTranspose(16, 3, strides=2, padding="same", activation="relu"),
                layers.Conv2D(1, 3, padding="same"),
            ]
        )
        self.seed = keras.random.SeedGenerator(1)
        self.trackers = [keras.metrics.Mean(name) for name in ("loss", "reconstruction", "kl")]

    @property
    def metrics(self):
        return self.trackers

    def call(self, x):
        """Return the logits of the reconstruction, and the code's mean and log variance."""
        mean, log_variance = ops.split(self.encoder(x), 2, axis=-1)
        noise = keras.random.normal(ops.shape(mean), seed=self.seed)
        return self.decoder(mean + ops.exp(0.5 * log_variance) * noise), mean, log_variance

    def losses_of(self, x, outputs):
        """Return the loss and its two parts, for a digit on average."""
        logits, mean, log_variance = outputs
        errors = ops.binary_crossentropy(x, logits, from_logits=True)
        reconstruction = ops.mean(ops.sum(errors, axis=(1, 2, 3)))
        kl = -0.5 * ops.sum(1 + log_variance - ops.square(mean) - ops.exp(log_variance), axis=1)
        return reconstruction + ops.mean(kl), reconstruction, ops.mean(kl)

    def track(self, losses):
        for tracker, loss in zip(self.trackers, losses, strict=True):
            tracker.update_state(loss)
        return {tracker.name: tracker.result() for tracker in self.trackers}


class MXNetVAE(VAE):
    def train_step(self, x):
        import mxnet as mx

        with mx.autograd.record():
            losses = self.losses_of(x, self(x))
        losses[0].backward()
        weights = self.trainable_weights
        self.optimizer.apply([w.grad for w in weights], weights)
        return self.track(losses)


class TorchVAE(VAE):
    def train_step(self, x):
        import torch

        self.zero_grad()
        losses = self.losses_of(x, self(x))
        losses[0].backward()
        weights = self.trainable_weights
        with torch.no_grad():
            self.optimizer.apply([w.value.grad for w in weights], weights)
            return self.track(losses)


class TensorFlowVAE(VAE):
    def train_step(self, x):
        import tensorflow as tf

        with tf.GradientTape() as tape:
            losses = self.losses_of(x, self(x))
        weights = self.trainable_weights
        self.optimizer.apply(tape.gradient(losses[0], weights), weights)
        return self.track(losses)


class JAXVAE(VAE):
    def train_step(self, state, x):
        import jax

        trainable, other, optimizer, metrics = state

        def loss(trainable):
            outputs, changed = self.stateless_call(trainable, other, x)
            losses = self.losses_of(x, outputs)
            return losses[0], (losses, changed)

        (_, (losses, other)), gradients = jax.value_and_grad(loss, has_aux=True)(trainable)
        trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
        mapping = list(zip(self.metrics_variables, metrics, strict=True))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            logs = self.track(losses)
        metrics = [scope.get_current_value(v) for v in self.metrics_variables]
        return logs, (trainable, other, optimizer, metrics)


def main() -> keras.callbacks.History:
    options = data.options(samples=1000, epochs=5, latent=2)
    keras.utils.set_random_seed(1)
    x = data.digits(options.samples)
    kinds = {"mxnet": MXNetVAE, "torch": TorchVAE, "tensorflow": TensorFlowVAE, "jax": JAXVAE}
    model = kinds[keras.backend.backend()](options.latent)
    model.compile(keras.optimizers.Adam(1e-3))
    model.build(x.shape)
    return model.fit(x, batch_size=options.batch_size, epochs=options.epochs)


if __name__ == "__main__":
    main()
