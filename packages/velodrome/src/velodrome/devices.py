"""Devices as users write them: `cpu`, `cpu:2`, `gpu`, `gpu:4`, `gpu@0+2`, `2xgpu:8`."""

import re
from typing import Literal

import msgspec

from velodrome.errors import UserError

_FORM = re.compile(
    r"(?:(?P<machines>[1-9]\d*)x)?(?P<kind>cpu|gpu)"
    r"(?::(?P<count>[1-9]\d*)|@(?P<indices>\d+(?:\+\d+)*))?"
)


class Devices(msgspec.Struct, frozen=True):
    """What a trial trains on.

    Attributes:
        kind: cpu or gpu.
        count: replicas on each machine.
        indices: which GPUs, or None for the first `count`.
        machines: how many machines, each with `count` devices.
    """

    kind: Literal["cpu", "gpu"]
    count: int = 1
    indices: tuple[int, ...] | None = None
    machines: int = 1

    @classmethod
    def parse(cls, text: str) -> "Devices":
        """Read the form that users write.

        Raises:
            UserError: the text is not of that form.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise UserError(
                f"devices '{text}' not understood: write cpu, cpu:2, gpu, gpu:4, gpu@0+2 or 2xgpu:8"
            )
        indices = match["indices"] and tuple(int(index) for index in match["indices"].split("+"))
        if indices and len(set(indices)) < len(indices):
            raise UserError(f"devices '{text}' name a device twice")
        return cls(
            kind="cpu" if match["kind"] == "cpu" else "gpu",
            count=len(indices) if indices else int(match["count"] or 1),
            indices=indices or None,
            machines=int(match["machines"] or 1),
        )

    @property
    def total(self) -> int:
        """Replicas on all machines together."""
        return self.count * self.machines

    @property
    def gpus(self) -> tuple[int, ...]:
        """Numbers of the GPUs on each machine; none for a CPU."""
        if self.kind == "cpu":
            return ()
        return self.indices or tuple(range(self.count))

    def __str__(self) -> str:
        machines = f"{self.machines}x" if self.machines > 1 else ""
        if self.indices:
            return f"{machines}{self.kind}@{'+'.join(map(str, self.indices))}"
        return f"{machines}{self.kind}" + (f":{self.count}" if self.count > 1 else "")
