"""What each framework says it had allocated on its GPUs at most, in bytes, in its own order."""


def torch() -> list[int]:
    """Of PyTorch's caching allocator."""
    import torch

    return [torch.cuda.max_memory_allocated(each) for each in range(torch.cuda.device_count())]


def jax() -> list[int]:
    """Of JAX's allocator."""
    import jax

    stats = [each.memory_stats() for each in jax.local_devices() if each.platform == "gpu"]
    return [int(each["peak_bytes_in_use"]) for each in stats]


def tensorflow() -> list[int]:
    """Of TensorFlow's allocator."""
    import tensorflow as tf

    names = [f"GPU:{each}" for each, _ in enumerate(tf.config.list_logical_devices("GPU"))]
    return [int(tf.config.experimental.get_memory_info(name)["peak"]) for name in names]


PEAKS = {"torch": torch, "jax": jax, "tensorflow": tensorflow}
"""By framework; MXNet does not tell."""
