"""What every Keras layer has on MXNet."""


class MXNetLayer:
    """Keras's layers need nothing of their own on MXNet."""
