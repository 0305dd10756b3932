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


def distribute_tensor(tensor: Any, layout: Any) -> Any:
    """Return a tensor laid out over devices; one device holds all of it."""
    return tensor


def initialize(job_addresses: Any, num_processes: Any, process_id: Any) -> None:
    """Join the processes of a job: there is one.

    Raises:
        NotImplementedError: if there are several.
    """
    if num_processes is not None and num_processes > 1:
        raise NotImplementedError(
            f"keras.distribution.initialize: num_processes={num_processes}, but MXNet trains in "
            "one process here; leave the call out and share batches among this machine's devices "
            "by keras.distribution.DataParallel."
        )


def num_processes() -> int:
    """Return how many processes train together."""
    return 1


def process_id() -> int:
    """Return which of them this is."""
    return 0


def context_of(name: Any) -> Any:
    """Return MXNet's context of a device's name, "cpu:0" or "gpu:0".

    Raises:
        ValueError: if it names no device that MXNet has.
    """
    if not isinstance(name, str):
        raise ValueError(
            "Invalid value for argument `device_name`. Expected a string like 'gpu:0' or 'cpu'. "
            f"Received: device_name='{name}'"
        )
    kind, _, index = name.lower().partition(":")
    if kind not in ("cpu", "gpu", "cuda"):
        raise ValueError(f"Unknown device {name!r}: MXNet has 'cpu:N' and 'gpu:N'.")
    number = int(index or 0)
    if kind == "cpu":
        return mxnet.cpu(number)
    if number >= mxnet.context.num_gpus():
        raise ValueError(f"No device {name!r}: MXNet sees {mxnet.context.num_gpus()} GPUs.")
    return mxnet.gpu(number)


def devices() -> tuple[Any, ...]:
    """Return the contexts that share each batch; none where one trains alone.

    Raises:
        NotImplementedError: if the distribution in force is none of data alone.
    """
    # Keras's module imports this one.
    from keras.src.distribution import distribution_lib

    distribution = distribution_lib.distribution()
    if distribution is None or distribution.device_mesh.devices.size < 2:
        return ()
    if not isinstance(distribution, distribution_lib.DataParallel):
        raise NotImplementedError(
            f"keras.distribution.{type(distribution).__name__} over several devices is not built "
            "for MXNet: use keras.distribution.DataParallel."
        )
    return distribution.device_mesh.backend_mesh


def _to_backend_mesh(device_mesh: Any) -> tuple[Any, ...]:
    """Return the contexts of a mesh's devices."""
    return tuple(context_of(str(name)) for name in device_mesh.devices.flatten())
