"""How a workload is trained: the parameters that a study may sweep."""

from typing import Annotated

import msgspec
from msgspec import Meta

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Epoch = Annotated[int, Meta(ge=1)]


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stochastic gradient descent on softmax cross-entropy, averaged over the batch.

    With velocity v, gradient g of the loss, kernel or bias w::

        g = g + weight_decay * w      (kernels only)
        v = momentum * v - learning_rate * g
        w = w + v

    Attributes:
        learning_rate: step size of the first epoch.
        momentum: share of the velocity kept from step to step.
        weight_decay: coupled L2 penalty on kernels; biases have none.
        decay_epochs: epochs (from 1) after which the learning rate is multiplied
            by `decay_factor`.
        decay_factor: see `decay_epochs`.
    """

    learning_rate: Positive
    momentum: NotNegative = 0.0
    weight_decay: NotNegative = 0.0
    decay_epochs: tuple[Epoch, ...] = ()
    decay_factor: Positive = 0.1

    def learning_rate_in(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 1."""
        steps = sum(epoch > decay for decay in self.decay_epochs)
        return float(self.learning_rate * self.decay_factor**steps)
