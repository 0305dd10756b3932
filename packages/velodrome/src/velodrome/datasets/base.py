"""What a data set must do, and what all of them share: finding, converting, caching, loading.

The harness calls `Dataset.prepare`; it leaves four `.npy` files in the cache and answers with a
`PreparedData`, which travels to the worker as JSON. The worker calls `load` on it.
"""

import hashlib
import logging
import os
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from velodrome.datasets.structure import ONE, Structure, mapped, named, rebuilt
from velodrome.download import DownloadError, checksum, download
from velodrome.errors import UserError
from velodrome.home import home
from velodrome.lock import locked
from velodrome.registry import Registry

log = logging.getLogger(__name__)

Kind = Literal["image", "tokens", "own"]

_ORDER_SEED = 2017
_MANIFEST = "prepared.json"


class InputSpec(msgspec.Struct, frozen=True):
    """What a workload takes: the samples' kind and shape, and how many classes it tells apart.

    Attributes:
        kind: `image` (uint8, channels last) or `tokens` (int32 word numbers, 0 is padding).
        shape: of one sample: (height, width, channels), or (length,).
        classes: labels run from 0 to classes - 1.
        vocabulary: of tokens: word numbers run from 0 to vocabulary - 1.
    """

    kind: Kind
    shape: tuple[int, ...]
    classes: int
    vocabulary: int | None = None

    def __post_init__(self) -> None:
        if len(self.shape) != {"image": 3, "tokens": 1}.get(self.kind) or min(self.shape) < 1:
            raise ValueError(f"shape {self.shape} is not one of an {self.kind} sample")
        if (self.vocabulary is None) != (self.kind == "image"):
            raise ValueError("tokens have a vocabulary, images have none")
        if self.classes < 2:
            raise ValueError(f"{self.classes} classes: there must be two at least")

    def __str__(self) -> str:
        """In words, as error messages use it."""
        shape = "x".join(map(str, self.shape))
        words = "" if self.vocabulary is None else f" of {self.vocabulary} words"
        return f"{shape} {self.kind}{words} in {self.classes} classes"


class PreparedData(msgspec.Struct, frozen=True):
    """A data set that lies ready in the cache.

    Attributes:
        name: of the data set.
        folder: where its arrays are.
        fingerprint: SHA-256 of the arrays' content; the same on every machine.
        kind, shape, classes, vocabulary: as in `InputSpec`; of the user's `own` data any shape,
            empty for several inputs, and 0 classes where the labels are none.
        train: number of training samples.
        validation: number of validation samples.
        note: what must be said with any result measured on it; may be empty.
        inputs: names of the arrays of a sample, as `structure` has them.
        labels: names of the arrays of its label.
        ranges: least and greatest value of each array of both, by its path (`x/title`); empty but
            of the user's own.
    """

    name: str
    folder: str
    fingerprint: str
    kind: Kind
    shape: tuple[int, ...]
    classes: int
    train: int
    validation: int
    vocabulary: int | None = None
    note: str = ""
    inputs: tuple[str, ...] = ONE
    labels: tuple[str, ...] = ONE
    ranges: dict[str, tuple[float, float]] = {}


class Split(NamedTuple):
    """Samples and their labels.

    Attributes:
        x: uint8 (n, height, width, channels) for images, int32 (n, length) for tokens,
            float32 or int32 (n, ...) for the user's own, of which there may be several.
        y: int32 (n,), from 0 to classes - 1; the user's own as `x`.
    """

    x: Structure
    y: Structure


class Data(NamedTuple):
    """What a worker trains on and what it validates on."""

    train: Split
    validation: Split


class File(msgspec.Struct, frozen=True):
    """An original file of known content.

    Attributes:
        name: the file's name, wherever it is kept.
        size: in bytes; None where it is not known, for a file that is not downloaded.
        digest: its hexadecimal checksum; None where the data set checks the content itself.
        algorithm: of `digest`, as `hashlib` names it.
        urls: public mirrors, the first is tried first.
    """

    name: str
    size: int | None = None
    digest: str | None = None
    algorithm: str = "sha256"
    urls: tuple[str, ...] = ()


class Edition(msgspec.Struct, frozen=True):
    """One form in which a data set's originals are kept: all these files together.

    Attributes:
        name: tells it from the data set's other editions.
        files: all must be there.
        note: what must be said with any result measured on it.
    """

    name: str
    files: tuple[File, ...]
    note: str = ""


class Originals(NamedTuple):
    """An edition's files, found and verified: a path for each file's name."""

    edition: Edition
    paths: Mapping[str, Path]


class Dataset(ABC):
    """A data set: where it comes from, how it becomes arrays, whom it fits.

    A subclass that has no `editions` makes its arrays from what is installed and so needs
    neither a file nor a network.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    editions: ClassVar[tuple[Edition, ...]] = ()
    #: sub-folders of `$VELODROME_DATA` to look for the originals in, besides itself
    folders: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def provides(self, wanted: InputSpec) -> InputSpec:
        """What it has to offer a workload that takes `wanted`; the nearest, where nothing fits."""

    @abstractmethod
    def arrays(self, spec: InputSpec, samples: int | None, originals: Originals | None) -> Data:
        """Make the arrays, in any order; `prepare` brings them into the order they are kept in.

        Args:
            spec: what `provides` answered.
            samples: number of training samples to make, for a data set that can make any number.
            originals: the edition at hand; None for a data set that has no editions.
        """

    def check(self, wanted: InputSpec) -> None:
        """Refuse a workload that this data set does not fit.

        Raises:
            UserError: says what it has and what was wanted.
        """
        if (has := self.provides(wanted)) != wanted:
            raise UserError(f"data set {self.name} has {has}; the workload takes {wanted}")

    def prepare(self, wanted: InputSpec, samples: int | None = None) -> PreparedData:
        """Have the arrays in the cache, from there or anew from the originals.

        The originals are looked for in `$VELODROME_DATA` and in its sub-folders of this data
        set's name, then in the cache, and are downloaded else. Several processes may call this
        at once; one does the work. What was cached is verified against its fingerprint.

        Args:
            wanted: what the workload takes.
            samples: training samples that will be asked of `load`.

        Raises:
            UserError: the workload does not fit, there are fewer samples, an original is not what
                it should be, there is none and none can be downloaded (names the choices), or the
                cache cannot be written.
        """
        self.check(wanted)
        at = home() / "datasets" / self.name
        try:
            with locked(at / ".lock"):
                prepared = self._prepared(at, wanted, samples)
        except OSError as error:
            raise UserError(f"data set {self.name} cannot be read or kept: {error}") from error
        limited(prepared, samples)
        return prepared

    def at_hand(self, wanted: InputSpec) -> bool:
        """Whether `prepare` would need no network.

        Raises:
            UserError: as `prepare`, for an original that is not what it should be.
        """
        at = home() / "datasets" / self.name
        return (
            not self.editions
            or self._placed(at) is not None
            or any(_cached(self._folder(at, wanted, None, each)) for each in self.editions)
        )

    def _prepared(self, at: Path, spec: InputSpec, samples: int | None) -> PreparedData:
        if not self.editions:
            return self._converted(at, spec, samples, None)
        if originals := self._placed(at):
            return self._converted(at, spec, samples, originals)
        for edition in self.editions:
            if found := _cached(self._folder(at, spec, samples, edition)):
                return found
        return self._converted(at, spec, samples, self._downloaded(at, spec))

    def _placed(self, at: Path) -> Originals | None:
        """The first edition whose files are all on this machine."""
        users = self._user_folders()
        for edition in self.editions:
            found = {file.name: _find(file, [*users, at]) for file in edition.files}
            paths = {name: path for name, path in found.items() if path is not None}
            if len(paths) == len(edition.files):
                return Originals(_identified(edition, paths), paths)
        names = dict.fromkeys(file.name for edition in self.editions for file in edition.files)
        for path in (folder / name for folder in users for name in names):
            if path.is_file() and not any(
                _is(path, file)
                for edition in self.editions
                for file in edition.files
                if file.name == path.name
            ):
                raise UserError(_stranger(path, self.name))
        return None

    def _downloaded(self, at: Path, spec: InputSpec) -> Originals:
        """The first edition, with the files that this machine lacks downloaded."""
        edition = self.editions[0]
        paths = {}
        try:
            for file in edition.files:
                path = _find(file, [*self._user_folders(), at])
                if path is None:
                    if file.size is None or file.digest is None or not file.urls:
                        raise DownloadError("it has no public address")
                    path = at / file.name
                    download(
                        file.urls,
                        path,
                        digest=file.digest,
                        size=file.size,
                        algorithm=file.algorithm,
                    )
                paths[file.name] = path
        except DownloadError as error:
            files = ", ".join(file.name for file in edition.files)
            place = os.environ.get("VELODROME_DATA") or "the folder that VELODROME_DATA names"
            others = " or ".join(
                other.name
                for other in registry.all().values()
                if not other.editions and other.provides(spec) == spec
            )
            raise UserError(
                f"data set {self.name} is not on this machine and cannot be downloaded ({error}): "
                f"put {files} into {place}, or choose one that needs no network: {others}"
            ) from error
        return Originals(edition, paths)

    def _user_folders(self) -> list[Path]:
        if not (given := os.environ.get("VELODROME_DATA")):
            return []
        top = Path(given).expanduser()
        if not top.is_dir():
            raise UserError(f"VELODROME_DATA names {given}, which is no folder")
        return [top, *(top / name for name in (self.name, *self.folders))]

    def _folder(
        self, at: Path, spec: InputSpec, samples: int | None, edition: Edition | None
    ) -> Path:
        """The cache folder of arrays made so: by this code, from this edition, to this spec."""
        code = [Path(str(sys.modules[cls.__module__].__file__)) for cls in (type(self), Dataset)]
        made_by = hashlib.sha256(b"".join(path.read_bytes() for path in code)).hexdigest()
        key = msgspec.json.encode([made_by, spec, edition, None if self.editions else samples])
        return at / hashlib.sha256(key).hexdigest()[:16]

    def _converted(
        self, at: Path, spec: InputSpec, samples: int | None, originals: Originals | None
    ) -> PreparedData:
        edition = originals.edition if originals else None
        folder = self._folder(at, spec, samples, edition)
        if found := _cached(folder):
            return found
        log.info("converting %s", self.name)
        data = Data(*map(mixed, self.arrays(spec, samples, originals)))
        prepared = PreparedData(
            name=self.name,
            folder=str(folder),
            fingerprint=fingerprint(data),
            kind=spec.kind,
            shape=spec.shape,
            classes=spec.classes,
            train=len(data.train.y),
            validation=len(data.validation.y),
            vocabulary=spec.vocabulary,
            note=edition.note if edition else "",
        )
        return keep(data, prepared)


registry: Registry[Dataset] = Registry("data set", "velodrome.datasets", "DATASETS")


def keep(data: Data, prepared: PreparedData) -> PreparedData:
    """Write the arrays into the folder of `prepared`, all or nothing. The caller holds the lock."""
    folder = Path(prepared.folder)
    making = folder.parent / ".making"  # what a killed process left is of no use
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    for path, array in zip(_files(making, prepared), _flat(data), strict=True):
        np.save(path, array)
    (making / _MANIFEST).write_bytes(msgspec.json.encode(prepared))
    shutil.rmtree(folder, ignore_errors=True)
    making.rename(folder)
    return prepared


def load(prepared: PreparedData, samples: int | None = None) -> Data:
    """Read a prepared data set into memory: all of it, or as much as `limited` says.

    The arrays are kept in an order that mixes the classes (`mixed_order`), so what is read is
    their beginning. Nothing is left to be read from the disk later, inside a clock.

    Args:
        prepared: what `Dataset.prepare` answered, possibly on its way through JSON.
        samples: number of training samples; None for all.

    Raises:
        UserError: there are fewer samples, or the cache no longer holds the arrays.
    """
    train, validation = limited(prepared, samples)
    try:
        data = _opened(prepared)
    except FileNotFoundError as error:
        raise UserError(f"data set {prepared.name} is gone from the cache: {error}") from error

    def read(split: Split, samples: int) -> Split:
        return Split(*(mapped(lambda array: np.array(array[:samples]), each) for each in split))

    return Data(read(data.train, train), read(data.validation, validation))


def limited(prepared: PreparedData, samples: int | None) -> tuple[int, int]:
    """How many training and validation samples a limit on the training samples leaves.

    The validation samples shrink in the same proportion, rounded up.

    Raises:
        UserError: the limit is below one or above what there is.
    """
    if samples is None:
        return prepared.train, prepared.validation
    if not 1 <= samples <= prepared.train:
        raise UserError(
            f"samples: {samples} is not between 1 and {prepared.train}, "
            f"the training samples of data set {prepared.name}"
        )
    return samples, -(-prepared.validation * samples // prepared.train)


def mixed(split: Split) -> Split:
    """The same samples in `mixed_order`, in the dtypes and layout they are kept in."""
    x, y = split
    assert isinstance(x, np.ndarray)
    assert isinstance(y, np.ndarray)
    order = mixed_order(y)
    return Split(np.ascontiguousarray(x[order]), y[order].astype(np.int32))


def mixed_order(labels: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """An order in which every beginning holds each class in its share, give or take one sample.

    The samples are shuffled by a fixed seed, then spread: the k-th of a class's n samples goes to
    the place (k + 1/2) / n of the way. The same on every machine: the legacy `RandomState` is
    frozen (NEP 19).

    Args:
        labels: (n,), of any integers.

    Returns:
        A permutation of 0 to n - 1, shape (n,).
    """
    shuffled = np.random.RandomState(_ORDER_SEED).permutation(len(labels))
    _, classes, counts = np.unique(labels[shuffled], return_inverse=True, return_counts=True)
    by_class = np.argsort(classes, kind="stable")
    rank = np.empty(len(labels), np.int64)
    rank[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    place = (2 * rank + 1) / (2 * counts[classes])
    return shuffled[np.argsort(place, kind="stable")]


def fingerprint(data: Data) -> str:
    """SHA-256 of the arrays: dtype, shape and little-endian content of each, in a fixed order.

    Of several arrays in a part, their names too.
    """
    digest = hashlib.sha256()
    for split in data:
        for role, structure in zip("xy", split, strict=True):
            for name, array in named(structure).items():
                if name:
                    digest.update(f"{role}/{name}\0".encode())
                portable = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
                digest.update(f"{portable.dtype.str}{portable.shape}".encode())
                digest.update(portable.data)
    return digest.hexdigest()


def _flat(data: Data) -> list[NDArray[Any]]:
    return [array for split in data for each in split for array in named(each).values()]


def _files(folder: Path, prepared: PreparedData) -> list[Path]:
    """Where the arrays of `_flat` are kept. Names of the user's may suit no file: numbers do."""
    return [
        folder / (f"{part}_{role}.npy" if names == ONE else f"{part}_{role}_{number}.npy")
        for part in ("train", "validation")
        for role, names in (("x", prepared.inputs), ("y", prepared.labels))
        for number in range(len(names))
    ]


def _opened(prepared: PreparedData) -> Data:
    """The arrays where they lie, read when they are used."""
    files = iter(_files(Path(prepared.folder), prepared))

    def part(names: tuple[str, ...]) -> Structure:
        found: Structure = rebuilt({name: np.load(next(files), mmap_mode="r") for name in names})
        return found

    def split() -> Split:
        return Split(part(prepared.inputs), part(prepared.labels))

    return Data(split(), split())


def _cached(folder: Path) -> PreparedData | None:
    """What was prepared there before, if all of it is still as it was."""
    try:
        prepared = msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=PreparedData)
        # The cache may have been moved.
        prepared = msgspec.structs.replace(prepared, folder=str(folder))
        data = _opened(prepared)
    except (OSError, EOFError, ValueError, msgspec.MsgspecError):
        return None
    return prepared if fingerprint(data) == prepared.fingerprint else None


def _find(file: File, folders: list[Path]) -> Path | None:
    return next((path for folder in folders if _is(path := folder / file.name, file)), None)


def _is(path: Path, file: File) -> bool:
    """Whether `path` holds exactly this original."""
    if not path.is_file():
        return False
    if file.digest is None:
        return True
    if file.size not in (None, path.stat().st_size):
        return False
    return checksum(path, file.algorithm) == file.digest


def _stranger(path: Path, name: str) -> str:
    """What to say of a file that is called as an original of the data set `name` and is not it."""
    for other in registry.all().values():
        files = [file for edition in other.editions for file in edition.files if file.digest]
        if any(file.name == path.name and _is(path, file) for file in files):
            return (
                f"{path} is data set {other.name}, not {name}: choose --dataset {other.name}, or "
                "move it away"
            )
    return (
        f"{path} is damaged or another file than data set {name} knows by that name (wrong "
        "checksum); replace it or move it away"
    )


def _identified(edition: Edition, paths: Mapping[str, Path]) -> Edition:
    """The edition with the digest of each file filled in, so that the cache tells them apart."""
    return msgspec.structs.replace(
        edition,
        files=tuple(
            file
            if file.digest
            else msgspec.structs.replace(file, digest=checksum(paths[file.name], file.algorithm))
            for file in edition.files
        ),
    )
