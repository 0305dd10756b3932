"""Devices, and what Keras's distribution asks of them."""

from typing import Any

from keras_mxnet.src.arrays import mxnet


def list_devices(device_type: str | None = None) -> list[str]:
    """Return the devices as "gpu:0", the GPUs if there are any, else the CPU."""
    gpus = mxnet.context.num_gpus()
    kind = device_type.lower() if device_type else ("gpu" if gpus else "cpu")
    return [f"{kind}:{i}" for i in range(gpus if kind == "gpu" else 1)]


def get_device_count(device_type: str | None = None) -> int:
    """Return how many devices of a kind there are."""
    return len(list_devices(device_type))


def distribute_value(value: Any, tensor_layout: Any) -> Any:
    """Return a value laid out over devices; one device holds all of it."""
    return value
