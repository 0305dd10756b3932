"""Tell what can run here, and why something cannot, with the fix.

Exit status 1 if no engine at all can run.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from velodrome.datasets import Dataset
    from velodrome.engines.base import Engine
    from velodrome.environment import Survey
    from velodrome.machine import Machine

_GIB = 2**30
_ENVIRONMENTS_GIB = 4  # what the four environments for CPUs take together


def command(
    load: Annotated[
        bool, typer.Option("--load", help="Load each engine too, where its environment is made.")
    ] = False,
) -> int:
    """Print the machine, the environments, the engines and the data sets."""
    from velodrome import engines, environment
    from velodrome.machine import this_machine

    machine = this_machine()
    surveys = [survey for survey in environment.list_all() if not survey.pins]
    cpu = {survey.framework: survey for survey in surveys if survey.kind == "cpu"}
    obstacles = {
        name: _obstacle(engine, cpu.get(engine.framework), load)
        for name, engine in engines.registry.all().items()
    }

    _table("machine", _machine(machine))
    _table("environments", _environments(surveys, bool(machine.gpus)))
    _table("engines", _engines(obstacles))
    if plugins := list(_plugins()):
        _table("plug-ins", iter(plugins))
    if machine.gpus:
        _table("gpus", _gpus(machine))
    _table("data sets", _datasets())
    able = sum(obstacle is None for obstacle in obstacles.values())
    typer.echo(f"{able} of {len(obstacles)} engines can run here.")
    return 0 if able else 1


def _table(title: str, lines: Iterator[tuple[str, str]]) -> None:
    typer.echo(f"{title}:")
    for name, text in lines:
        typer.echo(f"  {name:<18} {text}")
    typer.echo()


def _machine(machine: "Machine") -> Iterator[tuple[str, str]]:
    import platform
    import shutil
    import sys
    from datetime import date

    import psutil

    from velodrome import __version__
    from velodrome.home import home

    yield "velodrome", f"{__version__} on Python {platform.python_version()} ({sys.executable})"
    yield "system", machine.system
    yield "cpu", f"{machine.cpu}; {machine.cores} cores, {machine.threads} threads"
    yield "instruction sets", " ".join(machine.flags) or "none that matter to the frameworks"
    free = psutil.virtual_memory().available
    yield "memory", f"{machine.memory / _GIB:.1f} GiB, {free / _GIB:.1f} GiB of it free"
    existing = next(folder for folder in (home(), *home().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    scarce = "; the environments need about 4 GiB: set VELODROME_HOME to a folder with more room"
    yield (
        "disk",
        f"{free / _GIB:.1f} GiB free for {home()}"
        + (scarce if free < _ENVIRONMENTS_GIB * _GIB else ""),
    )
    kept = home() / "ceilings.json"
    if kept.exists():
        yield (
            "ceilings",
            f"as measured up to {date.fromtimestamp(kept.stat().st_mtime)}; to measure them "
            f"again, with nothing else running, delete {kept}",
        )
    if not machine.gpus:
        yield "gpu", "none that NVIDIA's driver tells of"
    for gpu in machine.gpus:
        yield (
            f"gpu {gpu.index}",
            f"{gpu.name}, {gpu.memory / _GIB:.1f} GiB, compute capability {gpu.capability}, "
            f"driver {gpu.driver}",
        )


def _environments(surveys: "list[Survey]", gpus: bool) -> Iterator[tuple[str, str]]:
    for survey in surveys:
        if survey.kind == "gpu" and not gpus and survey.state in ("missing", "unavailable"):
            continue
        yield f"{survey.framework} ({survey.kind})", _standing(survey)


def _standing(survey: "Survey") -> str:
    create = f"velodrome env create {survey.framework} --kind {survey.kind}"
    meaning = {
        "ready": "",
        "adopted": f", the Python at {survey.python}",
        "missing": f", made when first needed, or now: {create}",
        "half-made": f", repaired when next needed, or now: {create}",
        "stale": f" (made from another pinned file or Python), remade when next needed: {create}",
        "unavailable": "",
    }
    return f"{survey.state}: {survey.detail}{meaning[survey.state]}"


def _obstacle(engine: "type[Engine]", survey: "Survey | None", load: bool) -> str | None:
    """Why an engine cannot run, or None; what is made on demand is no reason."""
    from velodrome import environment
    from velodrome.sources import BACKEND, has_backend

    survey = survey or environment.survey(engine.framework, "cpu")
    if survey.state == "unavailable":
        return survey.detail
    if engine.name == "keras-mxnet" and not has_backend():
        return f"{BACKEND} is not installed beside velodrome: pip install --no-deps {BACKEND}"
    if load and survey.state in ("ready", "adopted"):
        place = environment.ensure(engine.framework, "cpu", report=typer.echo)
        return environment.obstacle(place, engine.name)
    return None


def _engines(obstacles: dict[str, str | None]) -> Iterator[tuple[str, str]]:
    for name, obstacle in obstacles.items():
        yield name, "can run" if obstacle is None else f"cannot run: {obstacle}"


def _plugins() -> Iterator[tuple[str, str]]:
    """What other packages bring, and which of it is broken."""
    from velodrome import datasets, engines, workloads

    for kind, registry in (
        ("engine", engines.registry),
        ("workload", workloads.registry),
        ("data set", datasets.registry),
    ):
        for name, point in registry.plugins().items():
            version = f" {point.dist.version}" if point.dist else ""
            yield name, f"{kind}, by {point.dist.name if point.dist else point.module}{version}"
        for name, why in registry.broken.items():
            yield name, f"broken: {why}"


def _gpus(machine: "Machine") -> Iterator[tuple[str, str]]:
    from velodrome import environment, gpus

    for gpu in machine.gpus:
        for framework in environment.frameworks("gpu"):
            obstacle = gpus.obstacle(framework, gpu.capability)
            yield (
                f"{gpu.index} {framework}",
                "has code for it" if obstacle is None else f"cannot use it: {obstacle}",
            )


def _datasets() -> Iterator[tuple[str, str]]:
    from velodrome import datasets, workloads
    from velodrome.errors import UserError

    taken = [workload.takes() for workload in workloads.registry.all().values()]
    for name in datasets.names():
        dataset = datasets.get(name)
        if not dataset.editions:
            yield name, "needs no file"
            continue
        fitting = (spec for spec in taken if dataset.provides(spec) == spec)
        try:
            here = dataset.at_hand(next(fitting, dataset.provides(taken[0])))
        except UserError as error:
            yield name, f"cannot be used: {error}"
        else:
            yield name, "on this machine" if here else _elsewhere(dataset)


def _elsewhere(dataset: "Dataset") -> str:
    files = dataset.editions[0].files
    if all(file.urls for file in files):
        return "downloaded when first needed"
    return (
        f"not on this machine: put {', '.join(file.name for file in files)} into the folder that "
        "VELODROME_DATA names"
    )
