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


def initialize(job_addresses: Any, num_processes: Any, process_id: Any) -> None:
    """Join the processes of a job: there is one."""


def num_processes() -> int:
    """Return how many processes train together."""
    return 1


def process_id() -> int:
    """Return which of them this is."""
    return 0


def refuse_several_devices() -> None:
    """Raise rather than train on one device where several were asked for.

    Raises:
        NotImplementedError: if the distribution in force has more than one device.
    """
    # Keras's module imports this one.
    from keras.src.distribution import distribution_lib

    distribution = distribution_lib.distribution()
    if distribution is not None and distribution.device_mesh.devices.size > 1:
        raise NotImplementedError(
            f"keras.distribution asks for {distribution.device_mesh.devices.size} devices; the "
            "mxnet backend trains on one. Leave out `set_distribution`, or give it one device."
        )
