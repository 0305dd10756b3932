"""Which NVIDIA GPUs the frameworks' packages have code for."""

# Compute capabilities that mxnet-cu112 1.9.1 has machine code for; it carries no PTX, which a
# driver could compile for a later one.
_MXNET = ((5, 0), (6, 0), (7, 0), (8, 0), (8, 6))

# The lowest capability that these releases are built for: the notes of TensorFlow 2.18, JAX's
# installation page for CUDA 12, the architecture list of PyTorch's builds for CUDA 13. They
# carry PTX for what is later.
_LOWEST = {"tensorflow": (6, 0), "jax": (5, 2), "torch": (7, 5)}


def obstacle(framework: str, capability: str) -> str | None:
    """Why a framework's packages cannot use a GPU, or None if they can.

    Args:
        framework: such as `mxnet`.
        capability: the GPU's CUDA compute capability, such as `9.0`.
    """
    major, minor = (int(part) for part in capability.split("."))
    if framework == "mxnet":
        # Machine code runs on its own major version, from its minor version up.
        if any(major == code and minor >= lowest for code, lowest in _MXNET):
            return None
        return (
            "its last release has machine code for compute capability "
            f"{', '.join(f'{code}.{lowest}' for code, lowest in _MXNET)} and no PTX, "
            f"so nothing that runs on {capability}"
        )
    if framework not in _LOWEST:
        return None
    if (major, minor) >= _LOWEST[framework]:
        return None
    lowest_major, lowest_minor = _LOWEST[framework]
    return f"it is built for compute capability {lowest_major}.{lowest_minor} and later"
