"""Which compute library really ran, told by itself in the log of an untimed process."""

import re
from collections import Counter
from pathlib import Path

import msgspec

# oneDNN prints a line for each primitive that it executes, cuDNN one for each call; the names
# of these switches have changed with the libraries' versions.
VARIABLES = {
    "ONEDNN_VERBOSE": "1",
    "DNNL_VERBOSE": "1",
    "MKLDNN_VERBOSE": "1",
    "CUDNN_LOGLEVEL_DBG": "2",
    "CUDNN_LOGINFO_DBG": "1",
    "CUDNN_LOGDEST_DBG": "stdout",
}


class Kernels(msgspec.Struct, frozen=True, kw_only=True):
    """What a compute library did.

    Attributes:
        library: such as `oneDNN 3.7.1`.
        calls: how often each primitive ran, such as `convolution: 40`.
    """

    library: str
    calls: dict[str, int]

    def __str__(self) -> str:
        calls = ", ".join(f"{name} x{count}" for name, count in self.calls.items())
        return f"{self.library} ({calls or 'loaded, but nothing ran'})"


_ONEDNN = re.compile(r"^(?:onednn|dnnl|mkldnn)_verbose,(?P<text>.*)$", re.MULTILINE | re.IGNORECASE)
_VERSION = re.compile(r"(?:oneDNN|DNNL|MKL-DNN) v(\d+(?:\.\d+)+)")
_PRIMITIVE = re.compile(r"(?:^|,)exec,(?:cpu|gpu)[^,]*,(\w+),")
_CUDNN = re.compile(r"CuDNN \(v(\d+)[^)]*\) function (cudnn\w+)\(\) called", re.IGNORECASE)


def read(log: Path) -> tuple[Kernels, ...]:
    """The libraries that ran in the process which wrote the log."""
    text = log.read_text(errors="replace")
    return tuple(each for each in (_onednn(text), _cudnn(text)) if each)


def _onednn(text: str) -> Kernels | None:
    lines = [match["text"] for match in _ONEDNN.finditer(text)]
    if not lines:
        return None
    versions = [match[1] for line in lines if (match := _VERSION.search(line))]
    calls = Counter(match[1] for line in lines if (match := _PRIMITIVE.search(line)))
    return Kernels(
        library=f"oneDNN {versions[0] if versions else 'of unknown version'}",
        calls=dict(calls.most_common()),
    )


def _cudnn(text: str) -> Kernels | None:
    found = _CUDNN.findall(text)
    if not found:
        return None
    calls = Counter(name for _, name in found if "Create" not in name and "Set" not in name)
    return Kernels(library=f"cuDNN {found[0][0]}", calls=dict(calls.most_common()))
