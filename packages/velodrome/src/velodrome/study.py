"""What to run: a study is the product of its axes, less what it excludes."""

import itertools
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from velodrome import datasets, engines, environment, percent, user_code, workloads, yaml
from velodrome.datasets import own
from velodrome.devices import Devices
from velodrome.errors import UserError
from velodrome.published import PublishedRow
from velodrome.record import Site
from velodrome.registry import unknown
from velodrome.trial import DType, Settings
from velodrome.workloads.recipe import Recipe

Count = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]
Value = str | int | float | bool | tuple[int, ...]
Scaling = Literal["strong", "weak"]
_CHOICES = {"settings": get_args(Settings), "dtypes": get_args(DType), "scaling": get_args(Scaling)}
_PIN = r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.+!_-]+$"
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Study(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A set of trials. In YAML a list of one may be written without brackets.

    Attributes:
        name: names the run folder.
        workloads: names of workloads, or models of the user's own, `FILE.py:FUNCTION`.
        engines, devices, batch_sizes, epochs, settings, dtypes: the axes.
            Batch sizes and epochs left out are each workload's own.
        scaling: what a batch size counts: `strong`, the samples of a step over all devices;
            `weak`, those of each device.
        recipe: values to try for parameters of the workloads' recipes.
        repeats: fresh processes for each configuration.
        precision: half the width wanted of the intervals of ratios, such as 2%: repeats are
            added until every one is as narrow as that.
        max_repeats: most repeats that `precision` may lead to.
        pins: versions such as `keras==3.14.1` in place of those that velodrome pins.
        dataset: instead of each workload's own; `FILE.npz` or `FILE.py:FUNCTION` for a model
            of the user's.
        samples: limit on the training samples.
        drop_last: leave out a last batch that is not full.
        seed: of weights and of the order of samples and trials.
        timeout: seconds a trial may take.
        memory_limit: address space of a worker in GiB.
        exclude: combinations to leave out, as values of axes or recipe parameters.
        target_accuracy: validation accuracy whose time and cost the report gives.
        beside: the published rows that this study reruns, as values of their fields
            (`velodrome.published.PublishedRow`); None for a study that reruns none.
        site: what the user says of the machine.
    """

    name: Name
    workloads: Annotated[tuple[str, ...], Meta(min_length=1)]
    engines: Annotated[tuple[str, ...], Meta(min_length=1)]
    devices: Annotated[tuple[str, ...], Meta(min_length=1)] = ("cpu",)
    batch_sizes: tuple[Count, ...] = ()
    epochs: tuple[Count, ...] = ()
    settings: Annotated[tuple[Settings, ...], Meta(min_length=1)] = ("tuned",)
    dtypes: Annotated[tuple[DType, ...], Meta(min_length=1)] = ("float32",)
    scaling: Scaling = "strong"
    recipe: dict[str, tuple[Any, ...]] = {}
    repeats: Count = 1
    precision: Annotated[float, Meta(gt=0, lt=1)] | None = None
    max_repeats: Count = 30
    pins: tuple[Annotated[str, Meta(pattern=_PIN)], ...] = ()
    dataset: str | None = None
    samples: Count | None = None
    drop_last: bool = False
    seed: NotNegative = 0
    timeout: Annotated[float, Meta(gt=0)] = 3600.0
    memory_limit: Annotated[float, Meta(gt=0)] | None = None
    target_accuracy: Annotated[float, Meta(gt=0, le=1)] | None = None
    exclude: tuple[dict[str, tuple[Value, ...]], ...] = ()
    beside: dict[str, tuple[str | int, ...]] | None = None
    site: Site = Site()


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """One point of a study's axes, before data and environments are looked up.

    The batch size counts the samples of a step over all devices.
    """

    engine: str
    workload: str
    devices: str
    batch_size: int
    epochs: int
    settings: Settings
    dtype: DType
    recipe: Recipe


# So many can show a difference between any two of four engines.
_OWN_REPEATS = 7

_AXES = ("workloads", "engines", "devices", "batch_sizes", "epochs", "settings", "dtypes")
_EXCLUDABLE = ("engine", "workload", "devices", "batch_size", "epochs", "settings", "dtype")


def load(target: str, changes: Mapping[str, Any] | None = None) -> Study:
    """A study from a YAML file, one that velodrome brings, or workloads' names with commas.

    Args:
        target: what the user wrote.
        changes: keys to put in place of the study's own.

    Raises:
        UserError: there is none, or it does not hold together.
    """
    path = Path(target)
    if path.suffix in {".yaml", ".yml"}:
        if not path.exists():
            raise UserError(f"no study file {path}")
    elif target in bundled():
        path = _folder() / f"{target}.yaml"
    else:
        names = target.split(",")
        for name in names:
            if not user_code.is_reference(name) and name not in workloads.registry.all():
                known = [*workloads.registry.all(), *bundled()]
                raise UserError(
                    f"{unknown('workload or study', name, known)}; a Keras model of your own is "
                    "FILE.py:FUNCTION"
                )
        own = all(map(user_code.is_reference, names))
        raw: Any = {"name": _name(names), "workloads": names, "engines": _at_hand(own)}
        if own:
            raw["repeats"] = _OWN_REPEATS
        return parse(raw | dict(changes or {}), where="command line")
    raw = yaml.read(path)
    if not isinstance(raw, dict):
        raise UserError(f"{path}: a study is a mapping of keys to values")
    return parse({"name": path.stem} | raw | dict(changes or {}), where=str(path))


def rerun(target: str, changes: Mapping[str, Any]) -> Study:
    """As `load`, for a study that stands beside published rows.

    Batches larger than a limit on the samples are left out.

    Raises:
        UserError: as `load`, or the study stands beside none.
    """
    wanted = load(target)
    if wanted.beside is None:
        raise UserError(
            f"study '{target}' reruns no published table (its key `beside` names none); "
            f"those that do: {', '.join(_reruns())}"
        )
    samples = changes.get("samples", wanted.samples)
    sizes = [size for size in wanted.batch_sizes if samples is None or size <= samples]
    return load(target, {"batch_sizes": sizes or list(wanted.batch_sizes), **changes})


def _reruns() -> list[str]:
    return [name for name in bundled() if load(name).beside is not None]


def _name(names: list[str]) -> str:
    """What a run of these workloads is called; of the user's own file its stem counts."""
    stems = [
        Path(name.split(":")[0]).stem if user_code.is_reference(name) else name for name in names
    ]
    return re.sub(r"[^A-Za-z0-9._-]", "-", "-".join(stems)).lstrip("._-") or "own"


def _at_hand(own: bool) -> list[str]:
    """Engines whose framework can be installed, or was adopted; those for a user's own model."""
    frameworks = environment.frameworks("cpu") + environment.frameworks("gpu")
    return [
        name
        for name, each in engines.registry.all().items()
        if each.framework in frameworks and (each.own_models or not own)
    ]


def bundled() -> list[str]:
    """Names of the studies that velodrome brings."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def summary(name: str) -> str:
    """What a study that velodrome brings says of itself: its file's first comment."""
    with (_folder() / f"{name}.yaml").open() as file:
        return file.readline().lstrip("# ").rstrip()


def _folder() -> Path:
    return Path(str(files("velodrome"))) / "studies"


def parse(raw: Mapping[str, Any], where: str = "study") -> Study:
    """Check a study's keys, types, names and combinations.

    Args:
        raw: as read from YAML or put together from the command line.
        where: names the source in messages.

    Raises:
        UserError: one line that names the key and what is allowed.
    """
    known = Study.__struct_fields__
    for key in raw:
        if key not in known:
            raise UserError(f"{where}: {unknown('key', str(key), known)}")
    try:
        study = msgspec.convert(_with_lists(raw), Study)
        _check(study)
    except msgspec.ValidationError as error:
        raise UserError(f"{where}: {_reworded(error)}") from None
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    return study


def _reworded(error: msgspec.ValidationError) -> str:
    """`Expected ... - at `$.key`` with the key in front, and what it could be."""
    problem, _, at = str(error).partition(" - at `$")
    key = at.rstrip("`").lstrip(".")
    field = key.partition("[")[0]
    if field == "pins":
        return f"{key}: a pin is NAME==VERSION, such as keras==3.14.1"
    if field in _CHOICES and (value := re.fullmatch(r"Invalid enum value '(.*)'", problem)):
        return f"{key}: {unknown('value', value[1], _CHOICES[field])}"
    return f"{key}: {problem[0].lower()}{problem[1:]}" if key else problem


def _with_lists(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Single values of the axes as lists of one."""
    study = {key: value for key, value in raw.items() if value is not None}
    for axis in (*_AXES, "pins"):
        if axis in study:
            study[axis] = _as_list(study[axis])
    if "precision" in study:
        study["precision"] = percent.parse(study["precision"], "precision")
    for key in ("recipe", "beside"):
        if isinstance(study.get(key), dict):
            study[key] = {name: _as_list(value) for name, value in study[key].items()}
    if isinstance(study.get("exclude"), list):
        study["exclude"] = [
            {key: _as_list(value) for key, value in each.items()}
            if isinstance(each, dict)
            else each
            for each in study["exclude"]
        ]
    return study


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _check(study: Study) -> None:
    for name in study.workloads:
        if workloads.get(name).own:
            _check_own(name, study)
    for name in study.engines:
        engines.registry.get(name)
    for text in study.devices:
        Devices.parse(text)
    if study.dataset is not None and not own.is_own(study.dataset):
        datasets.get(study.dataset)
    for axis in _AXES:
        values = getattr(study, axis)
        if len(set(values)) < len(values):
            raise UserError(f"{axis}: a value stands twice in {list(values)}")
    if study.precision is not None and study.max_repeats < study.repeats:
        raise UserError(
            f"max_repeats: {study.max_repeats} is less than the {study.repeats} repeats"
        )
    _check_pins(study)
    for key in study.recipe:
        if key not in Recipe.__struct_fields__:
            raise UserError(f"recipe: {unknown('parameter', key, Recipe.__struct_fields__)}")
    for each in study.exclude:
        for key in each:
            if key not in (allowed := (*_EXCLUDABLE, *study.recipe)):
                raise UserError(f"exclude: {unknown('key', key, allowed)}")
    for key in study.beside or ():
        if key not in PublishedRow.__struct_fields__:
            raise UserError(f"beside: {unknown('field', key, PublishedRow.__struct_fields__)}")
    if not any(True for _ in configurations(study)):
        raise UserError("exclude: nothing is left to run")


def _check_own(name: str, study: Study) -> None:
    if study.recipe:
        raise UserError(f"recipe: how {name} is trained stands in its file; change it there")
    if not own.is_own(study.dataset or ""):
        raise UserError(
            f"{name} trains on data of your own: give --data FILE.npz, or FILE.py:FUNCTION, which "
            "may read any other file (in a study `dataset:`)"
        )


def _check_pins(study: Study) -> None:
    places = [
        (engines.registry.get(name).framework, Devices.parse(devices).kind)
        for name in study.engines
        for devices in study.devices
    ]
    for pin in study.pins:
        if not any(environment.pinned(*place, (pin,)) for place in places):
            raise UserError(f"pins: no engine of this study has the package of {pin}")


def configurations(study: Study) -> Iterator[Configuration]:
    """Every point of the study's axes that it does not exclude, engines running fastest.

    Raises:
        UserError: a recipe's value is not allowed.
    """
    for name in study.workloads:
        workload = workloads.get(name)
        for devices, dtype, settings, epochs, batch_size, changes, engine in itertools.product(
            study.devices,
            study.dtypes,
            study.settings,
            study.epochs or (workload.epochs,),
            study.batch_sizes or (workload.batch_size,),
            _changes(study),
            study.engines,
        ):
            if study.scaling == "weak":
                batch_size *= Devices.parse(devices).total
            configuration = Configuration(
                engine=engine,
                workload=name,
                devices=devices,
                batch_size=batch_size,
                epochs=epochs,
                settings=settings,
                dtype=dtype,
                recipe=_changed(workload.recipe, changes),
            )
            if not any(_matches(configuration, each) for each in study.exclude):
                yield configuration


def _changes(study: Study) -> list[dict[str, Any]]:
    """Every combination of the recipe's values."""
    values = itertools.product(*study.recipe.values())
    return [dict(zip(study.recipe, each, strict=True)) for each in values]


def _changed(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    try:
        return msgspec.convert(msgspec.to_builtins(recipe) | changes, Recipe)
    except msgspec.ValidationError as error:
        raise UserError(f"recipe: {_reworded(error)}") from None


def _matches(configuration: Configuration, excluded: Mapping[str, tuple[Value, ...]]) -> bool:
    flat = msgspec.to_builtins(configuration)
    flat |= flat.pop("recipe")
    return all(flat[key] in values for key, values in excluded.items())
