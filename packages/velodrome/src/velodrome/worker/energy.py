"""Energy meters of the machine: RAPL for processors, NVML for GPUs; none where not readable."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pynvml

RAPL = Path("/sys/class/powercap")


class _Domain(NamedTuple):
    name: str
    counter: Path
    wraps_at: float


class Meters:
    """Counters of joules, each under its own name, such as `package-0` or `gpu-0`."""

    def __init__(self, gpus: Iterable[int], rapl: Path = RAPL) -> None:
        self._domains = _domains(rapl)
        self._gpus = dict(_metered(gpus))

    def read(self) -> dict[str, float]:
        """Joules so far; a difference of two readings is what was spent between them."""
        joules = {each.name: int(each.counter.read_text()) / 1e6 for each in self._domains.values()}
        for name, handle in self._gpus.items():
            joules[name] = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3
        return joules

    def since(self, before: dict[str, float]) -> dict[str, float]:
        """Joules spent since an earlier reading; a counter that began anew is put right."""
        spent = {}
        for name, now in self.read().items():
            joules = now - before[name]
            if joules < 0 and name in self._domains:
                joules += self._domains[name].wraps_at
            spent[name] = joules
        return spent


def _domains(rapl: Path) -> dict[str, _Domain]:
    """RAPL's packages; reading them takes rights that many systems keep from users."""
    found = {}
    for folder in sorted(rapl.glob("*-rapl:*")):
        try:
            name = (folder / "name").read_text().strip()
            wraps_at = int((folder / "max_energy_range_uj").read_text()) / 1e6
            int((folder / "energy_uj").read_text())
        except (OSError, ValueError):
            continue
        # Cores and memory are subdomains, already counted in their package.
        if name.startswith("package"):
            found[name] = _Domain(name, folder / "energy_uj", wraps_at)
    return found


def _metered(gpus: Iterable[int]) -> Iterable[tuple[str, object]]:
    for index in gpus:
        try:
            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except pynvml.NVMLError:
            continue
        yield f"gpu-{index}", handle
