"""One measurement: what exactly is trained, and the content that names it."""

import hashlib
from typing import Literal

import msgspec

from velodrome.workloads.recipe import Recipe

# `float64` is the arithmetic of parity's reference; no engine is raced in it.
DType = Literal["float32", "tf32", "bfloat16", "float16", "float64"]
Settings = Literal["stock", "tuned"]


class Trial(msgspec.Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """One engine training one workload once.

    Attributes:
        engine: name of the engine.
        workload: name of the workload.
        graph: SHA-256 of the workload's layer graph.
        recipe: how it is trained, the study's changes applied.
        dataset: name of the data set.
        data: fingerprint of its content.
        samples: limit on the training samples, None for all.
        devices: devices as users write them.
        batch_size: samples a step over all devices.
        epochs: passes over the training data.
        drop_last: leave out a last batch that is not full.
        dtype: arithmetic asked for.
        settings: `stock` leaves the framework alone, `tuned` sets what its experts set.
        seed: the study's seed.
        repeat: 0 for the first run of this configuration, 1 for the second, ...
        environment: hash of the environment it runs in.
    """

    engine: str
    workload: str
    graph: str
    recipe: Recipe
    dataset: str
    data: str
    samples: int | None
    devices: str
    batch_size: int
    epochs: int
    drop_last: bool
    dtype: DType
    settings: Settings
    seed: int
    repeat: int
    environment: str

    @property
    def id(self) -> str:
        """SHA-256 of the canonical JSON (keys sorted), in hexadecimal."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    @property
    def short_id(self) -> str:
        """The first twelve digits of the id: enough to name a trial in a run folder."""
        return self.id[:12]
