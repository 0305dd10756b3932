"""MXNet as a backend of current Keras."""

__version__ = "0.1.0"
