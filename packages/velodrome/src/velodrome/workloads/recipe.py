"""How a workload is trained: the parameters that a study may sweep."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, lt=1)]
Epoch = Annotated[int, Meta(ge=1)]

# Adam's constants, as every framework has them by default, but for epsilon: Keras's.
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7


class Recipe(msgspec.Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """Gradient descent on cross-entropy, averaged over the batch.

    With gradient g of the loss and array w, both optimizers first add the penalty::

        g = g + weight_decay * w      (kernels only)

    SGD, with velocity v::

        v = momentum * v - learning_rate * g
        w = w + v

    Adam (Kingma and Ba 2015, the form before its section 2.1, as Keras, TensorFlow and
    MXNet have it), in step t from 1, with beta_1 0.9, beta_2 0.999, epsilon 1e-7::

        m = beta_1 * m + (1 - beta_1) * g
        u = beta_2 * u + (1 - beta_2) * g^2
        w = w - learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(u) + epsilon)

    Attributes:
        optimizer: which of the two.
        learning_rate: step size of the first epoch.
        momentum: share of the velocity kept from step to step; SGD only.
        weight_decay: coupled L2 penalty on kernels; biases and the like have none. An L2
            regularizer of factor f in Keras's sense is a weight decay of 2 f.
        decay_epochs: epochs (from 1) after which the learning rate is multiplied
            by `decay_factor`.
        decay_factor: see `decay_epochs`.
        shift: images are shifted at random by up to this share of their height and
            width, their edges repeated.
        flip: every other image, at random, is mirrored left to right.
        rate_rule: what several devices do to the learning rate. `constant`: nothing. `linear`:
            it is multiplied by their number, as where the batch grows with them (Goyal et al.
            2017); for SGD it is also what MXNet's Keras did in 2017 by adding up the gradients of
            each device's mean loss, penalty included (Adam's step hardly grows with its
            gradient). `2017`: 0.01 from four devices on, which is not multiplied.
    """

    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: Positive
    momentum: Share = 0.0
    weight_decay: NotNegative = 0.0
    decay_epochs: tuple[Epoch, ...] = ()
    decay_factor: Positive = 0.1
    shift: Share = 0.0
    flip: bool = False
    rate_rule: Literal["constant", "linear", "2017"] = "constant"

    def learning_rate_on(self, devices: int) -> float:
        """Learning rate of the first epoch on so many devices."""
        match self.rate_rule:
            case "linear":
                return self.learning_rate * devices
            case "2017":
                return 0.01 if devices >= 4 else self.learning_rate
        return self.learning_rate

    def learning_rate_in(self, epoch: int, devices: int = 1) -> float:
        """Learning rate of an epoch, counted from 1, on so many devices."""
        steps = sum(epoch > decay for decay in self.decay_epochs)
        return float(self.learning_rate_on(devices) * self.decay_factor**steps)

    def augments(self) -> bool:
        """Whether images change from epoch to epoch."""
        return self.shift > 0 or self.flip


def decays(array: str) -> bool:
    """Whether weight decay applies to an array named `node/array`."""
    return array.endswith("kernel")
