"""Before a user's own model is raced: build it once, keep the weights that all start from."""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from velodrome import engines, environment, user_code
from velodrome.datasets.base import PreparedData
from velodrome.environment import Pins
from velodrome.errors import UserError
from velodrome.executors import local
from velodrome.home import home
from velodrome.job import Built, Job, OwnModel
from velodrome.trial import Trial
from velodrome.workloads.graph import Graph
from velodrome.workloads.recipe import Recipe

log = logging.getLogger(__name__)

_SAMPLES = 16  # that are trained on to see whether the model can be
_UNUSED = Recipe(learning_rate=1.0)


def model(
    name: str, data: PreparedData, seed: int, among: Sequence[str], pins: Pins, timeout: float
) -> OwnModel:
    """The model with the weights that training starts from, the same on every engine.

    They are drawn once, by the first engine that can build the model and train a step of it, and
    kept in the cache by the content of file and data and the seed.

    Args:
        name: `FILE.py:FUNCTION`.
        data: what it trains on.
        seed: of the draws.
        among: engines to try, in this order.
        pins: versions asked for.
        timeout: seconds an engine may take.

    Raises:
        UserError: the file is missing or no Python, or no engine can train the model; says why,
            at the user's line.
    """
    digest = user_code.digest(user_code.parse(name))
    key = msgspec.json.encode([digest, data.fingerprint, seed])
    weights = home() / "models" / f"{hashlib.sha256(key).hexdigest()[:16]}.npz"
    wanted = OwnModel(reference=name, digest=digest, weights=str(weights))
    if not weights.exists():
        _make(wanted, data, seed, among, pins, timeout)
    return wanted


def digest(wanted: OwnModel) -> str:
    """SHA-256 of the user's code and of the initial weights."""
    sha = hashlib.sha256(wanted.digest.encode())
    with np.load(wanted.weights, allow_pickle=False) as file:
        for name in sorted(file.files):
            array = np.ascontiguousarray(file[name])
            sha.update(f"\0{name}\0{array.dtype.str}{array.shape}\0".encode() + array.tobytes())
    return sha.hexdigest()


def _make(
    wanted: OwnModel,
    data: PreparedData,
    seed: int,
    among: Sequence[str],
    pins: Pins,
    timeout: float,
) -> None:
    Path(wanted.weights).parent.mkdir(parents=True, exist_ok=True)
    reasons: dict[str, str] = {}
    for name in among:
        if not engines.registry.get(name).own_models:
            continue
        log.info("building %s on %s", wanted.reference, name)
        reason = _tried(name, wanted, data, seed, pins, timeout)
        if not reason:
            return
        reasons[name] = reason
        log.info("  %s: %s", name, reason)
    if not reasons:
        raise UserError(
            f"engines: none of {', '.join(among)} trains a Keras model of one's own; take "
            + ", ".join(name for name, one in engines.registry.all().items() if one.own_models)
        )
    if len(set(reasons.values())) == 1:
        raise UserError(next(iter(reasons.values())))
    raise UserError("; ".join(f"{name}: {reason}" for name, reason in reasons.items()))


def _tried(
    name: str, wanted: OwnModel, data: PreparedData, seed: int, pins: Pins, timeout: float
) -> str:
    """Build the model on an engine; empty if that went well, else why not."""
    engine = engines.registry.get(name)
    trial = Trial(
        engine=name,
        workload=wanted.reference,
        graph="",
        recipe=_UNUSED,
        dataset=data.name,
        data=data.fingerprint,
        samples=min(_SAMPLES, data.train),
        devices="cpu",
        batch_size=min(_SAMPLES, data.train),
        epochs=1,
        drop_last=False,
        dtype="float32",
        settings="stock",
        seed=seed,
        repeat=0,
        environment="",
    )
    job = Job(
        trial=trial,
        graph=Graph((), ()),
        data=data,
        threads=1,
        model=msgspec.structs.replace(wanted, rehearsal=True),
    )
    try:
        place = environment.ensure(engine.framework, "cpu", pins, report=log.info)
    except UserError as error:
        return str(error)
    outcome = local.run(
        job,
        place,
        variables=engine.variables("stock", 1),
        timeout=timeout,
        log=Path(wanted.weights).with_suffix(".log"),
        on_event=lambda event: _say(event.ledger.notes) if isinstance(event, Built) else None,
    )
    return outcome.reason if outcome.kind else ""


def _say(notes: Sequence[str]) -> None:
    for note in notes:
        log.info("  %s", note)
