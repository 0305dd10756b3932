"""The compute libraries inside the frameworks: threads, TF32 and versions, for the ledger.

To be asked once the framework has started, in the measured process.
"""

import ctypes
import re
from pathlib import Path

from velodrome.machine import usable_cpus


def threads(framework: str) -> int | None:
    """Threads that a framework shares an operation among, None where nobody tells."""
    match framework:
        case "torch":
            import torch

            return int(torch.get_num_threads())
        case "tensorflow":
            import tensorflow as tf

            # Left alone it makes one for each processor that it may use.
            asked = int(tf.config.threading.get_intra_op_parallelism_threads())
            return asked or len(usable_cpus())
        case "jax":
            return _named("XLAEigen")
        case "mxnet":
            import mxnet as mx

            # MXNet does not tell, but its OpenMP does, to which MXNet has said what to use.
            library = ctypes.CDLL(mx.libinfo.find_lib_path()[0])
            told = getattr(library, "omp_get_max_threads", None)
            return int(told()) if told else None
    return None


def tf32(framework: str) -> bool:
    """Whether the framework lets GPUs round products of float32 to TF32."""
    match framework:
        case "torch":
            import torch

            return bool(torch.backends.cuda.matmul.allow_tf32)
        case "tensorflow":
            import tensorflow as tf

            return bool(tf.config.experimental.tensor_float_32_execution_enabled())
        case "jax":
            import jax

            return bool(jax.config.jax_default_matmul_precision == "tensorfloat32")
    return False


def versions(framework: str, gpus: bool) -> dict[str, str]:
    """Of oneDNN, and on GPUs of CUDA and cuDNN, as far as the framework or its headers tell.

    JAX has oneDNN built in and tells of it only while it runs (`parity/kernels.py`).
    """
    match framework:
        case "torch":
            import torch

            built = re.search(r"MKL-DNN v([\d.]+)", torch.__config__.show())
            on_gpus = {
                "cuda": str(torch.version.cuda),
                "cudnn": str(torch.backends.cudnn.version()),
            }
            return ({"oneDNN": built[1]} if built else {}) | (on_gpus if gpus else {})
        case "tensorflow":
            import tensorflow as tf

            built_with = tf.sysconfig.get_build_info()
            on_gpus = {
                "cuda": str(built_with.get("cuda_version")),
                "cudnn": str(built_with.get("cudnn_version")),
            }
            return _onednn(Path(tf.sysconfig.get_include()) / "external/onednn/include") | (
                on_gpus if gpus else {}
            )
        case "mxnet":
            import mxnet as mx

            return _onednn(Path(mx.libinfo.find_include_path()) / "mkldnn")
    return {}


def _named(part: str) -> int | None:
    """This process's threads with that in their name; None where Linux does not tell."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return sum(part in name for name in names) or None


def _onednn(include: Path) -> dict[str, str]:
    """The version in oneDNN's header, which comes with the library that was built with it."""
    header = include / "oneapi/dnnl/dnnl_version.h"
    if not header.exists():
        return {}
    numbers = re.findall(r"#define DNNL_VERSION_(?:MAJOR|MINOR|PATCH)\s+(\d+)", header.read_text())
    return {"oneDNN": ".".join(numbers)}
