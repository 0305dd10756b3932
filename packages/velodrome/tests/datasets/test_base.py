import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any, ClassVar

import hypothesis.extra.numpy as npst
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from velodrome import datasets
from velodrome.datasets import Data, Dataset, InputSpec, PreparedData, Split
from velodrome.datasets.base import Originals, fingerprint, limited, mixed, mixed_order
from velodrome.errors import UserError

IMAGES = InputSpec("image", (8, 8, 1), 3)
LABELS = npst.arrays(np.int32, st.integers(1, 300), elements=st.integers(0, 6))


@given(LABELS)
def test_mixed_order_is_a_permutation(labels: np.ndarray) -> None:
    assert sorted(mixed_order(labels)) == list(range(len(labels)))


@given(LABELS, st.data())
def test_every_beginning_holds_each_class_in_its_share(
    labels: np.ndarray, data: st.DataObject
) -> None:
    n = data.draw(st.integers(1, len(labels)))
    beginning = labels[mixed_order(labels)][:n]
    classes, counts = np.unique(labels, return_counts=True)
    for label, count in zip(classes, counts, strict=True):
        share = count * n / len(labels)
        assert abs((beginning == label).sum() - share) <= max(1, len(classes) / 2)


def test_balanced_classes_all_come_before_one_comes_twice() -> None:
    beginning = np.repeat(np.arange(10), 50)[mixed_order(np.repeat(np.arange(10), 50))]
    for start in range(0, 500, 10):
        assert sorted(beginning[start : start + 10]) == list(range(10))
    assert len({tuple(beginning[start : start + 10]) for start in range(0, 500, 10)}) > 40


def test_mixed_keeps_samples_with_their_labels() -> None:
    x = np.arange(30, dtype=np.uint8).reshape(30, 1, 1, 1)
    result = mixed(Split(x, np.arange(30, dtype=np.int32) // 10))
    assert (result.x[:, 0, 0, 0] // 10 == result.y).all()
    assert sorted(result.x.ravel()) == list(range(30))


def prepared_of(train: int, validation: int) -> PreparedData:
    return PreparedData("some", "/nowhere", "0" * 64, "image", (8, 8, 1), 3, train, validation)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.data())
def test_limit_keeps_the_proportion(train: int, validation: int, data: st.DataObject) -> None:
    samples = data.draw(st.integers(1, train))
    kept, held_out = limited(prepared_of(train, validation), samples)
    assert kept == samples
    assert 1 <= held_out <= validation
    assert 0 <= held_out - validation * samples / train < 1


def test_no_limit_keeps_all() -> None:
    assert limited(prepared_of(60, 10), None) == (60, 10) == limited(prepared_of(60, 10), 60)


@pytest.mark.parametrize("samples", [-1, 0, 61])
def test_impossible_limit_is_refused(samples: int) -> None:
    with pytest.raises(UserError, match=f"samples: {samples} is not between 1 and 60"):
        limited(prepared_of(60, 10), samples)


@given(
    npst.arrays(np.uint8, (4, 2, 2, 1)),
    npst.arrays(np.int32, 4),
    st.sampled_from(["x", "y"]),
    st.booleans(),
)
def test_fingerprint_sees_every_value(
    x: np.ndarray, y: np.ndarray, changed: str, train: bool
) -> None:
    before = Data(Split(x, y), Split(x.copy(), y.copy()))
    after = Data(Split(x.copy(), y.copy()), Split(x.copy(), y.copy()))
    assert fingerprint(after) == fingerprint(before)
    assert fingerprint(Data(before.train, Split(x, y.astype(">i4")))) == fingerprint(before)
    split = after.train if train else after.validation
    getattr(split, changed).flat[-1] ^= 1
    assert fingerprint(after) != fingerprint(before)


def test_fingerprint_is_the_same_everywhere() -> None:
    x, y = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1), np.array([0, 1], np.int32)
    assert fingerprint(Data(Split(x, y), Split(x, y))) == (
        "3814b285823e04980c43f316e8b67893cffbbb6a834650c4a735848da72ef33e"
    )


@pytest.mark.parametrize(
    "fields",
    [
        ("image", (28, 28), 10),
        ("image", (28, 28, 0), 10),
        ("image", (28, 28, 1), 1),
        ("image", (28, 28, 1), 10, 500),
        ("tokens", (500,), 2),
        ("tokens", (500, 1), 2, 5000),
    ],
)
def test_impossible_spec_is_refused(fields: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"shape|vocabulary|classes"):
        InputSpec(*fields)


class Made(Dataset):
    """Counts how often it makes its arrays, in a file that processes share."""

    name = "made"
    summary = "made up"
    log: ClassVar[Path]

    def provides(self, wanted: InputSpec) -> InputSpec:
        return IMAGES

    def arrays(self, spec: InputSpec, samples: int | None, originals: Originals | None) -> Data:
        with self.log.open("a") as file:
            file.write("made\n")
        y = np.repeat(np.arange(3, dtype=np.int32), 20)
        x = np.broadcast_to(y.astype(np.uint8)[:, None, None, None] * 50, (60, 8, 8, 1))
        return Data(Split(x, y), Split(x[::4], y[::4]))


@pytest.fixture
def made(tmp_path: Path) -> Made:
    Made.log = tmp_path / "log"
    Made.log.touch()
    return Made()


def times_made() -> int:
    return len(Made.log.read_text().splitlines())


def test_prepared_once_then_from_the_cache(made: Made, cache: Path) -> None:
    first = made.prepare(IMAGES)
    assert made.prepare(IMAGES) == first
    assert times_made() == 1
    assert Path(first.folder).is_relative_to(cache / "datasets" / "made")
    assert (first.train, first.validation, first.note) == (60, 15, "")


def test_through_json_to_the_worker(made: Made) -> None:
    prepared = made.prepare(IMAGES, samples=12)
    sent = msgspec.json.decode(msgspec.json.encode(prepared), type=PreparedData)
    whole, part = datasets.load(sent), datasets.load(sent, 12)
    assert fingerprint(whole) == prepared.fingerprint
    assert whole.train.x.shape == (60, 8, 8, 1)
    assert [array.dtype.name for array in whole.train] == ["uint8", "int32"]
    assert len(part.train.y) == 12
    assert len(part.validation.y) == 3
    assert np.bincount(part.train.y).tolist() == [4, 4, 4]
    for split in whole:
        assert (split.x[:, 0, 0, 0] == split.y * 50).all()
    np.testing.assert_array_equal(part.train.x, whole.train.x[:12])


@pytest.mark.parametrize("name", ["train_x.npy", "validation_y.npy"])
def test_damaged_cache_is_made_anew(made: Made, name: str) -> None:
    prepared = made.prepare(IMAGES)
    path = Path(prepared.folder) / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert made.prepare(IMAGES) == prepared
    assert times_made() == 2
    assert fingerprint(datasets.load(prepared)) == prepared.fingerprint


@pytest.mark.parametrize("name", ["train_x.npy", "prepared.json"])
@pytest.mark.parametrize("keep", [0, 40])
def test_half_written_cache_is_made_anew(made: Made, name: str, keep: int) -> None:
    prepared = made.prepare(IMAGES)
    path = Path(prepared.folder) / name
    path.write_bytes(path.read_bytes()[:keep])
    (Path(prepared.folder).parent / ".making").mkdir()
    assert made.prepare(IMAGES) == prepared
    assert fingerprint(datasets.load(prepared)) == prepared.fingerprint


def test_moved_cache_is_still_good(
    made: Made, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = made.prepare(IMAGES)
    cache.rename(tmp_path / "elsewhere")
    monkeypatch.setenv("VELODROME_HOME", str(tmp_path / "elsewhere"))
    after = made.prepare(IMAGES)
    assert times_made() == 1
    assert after.fingerprint == before.fingerprint
    datasets.load(after)


def test_gone_from_the_cache(made: Made) -> None:
    prepared = made.prepare(IMAGES)
    (Path(prepared.folder) / "train_y.npy").unlink()
    with pytest.raises(UserError, match=r"data set made is gone from the cache"):
        datasets.load(prepared)


def test_workload_that_does_not_fit_is_refused_before_anything_is_made(made: Made) -> None:
    with pytest.raises(UserError, match=r"data set made has 8x8x1 image in 3 classes.* 32x32x3"):
        made.prepare(InputSpec("image", (32, 32, 3), 3))
    assert times_made() == 0


def test_too_many_samples_are_refused(made: Made) -> None:
    with pytest.raises(UserError, match=r"samples: 61 .* 60"):
        made.prepare(IMAGES, samples=61)


def _prepare(log: Path, queue: "multiprocessing.Queue[PreparedData]") -> None:
    Made.log = log
    queue.put(Made().prepare(IMAGES))


def test_several_processes_prepare_once(made: Made) -> None:
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[PreparedData] = context.Queue()
    processes = [
        context.Process(target=_prepare, args=(Made.log, queue), daemon=True) for _ in range(3)
    ]
    for process in processes:
        process.start()
    first, *others = (queue.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert others == [first, first]
    assert times_made() == 1


def _die_while_saving(log: Path) -> None:
    Made.log = log
    save: Any = np.save
    saved: list[Path] = []

    def dying(path: Path, array: np.ndarray) -> None:
        saved.append(path)
        if len(saved) == 3:
            path.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        save(path, array)

    np.save = dying  # type: ignore[assignment]
    Made().prepare(IMAGES)


def test_killed_while_converting(made: Made) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=_die_while_saving, args=(Made.log,)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    prepared = made.prepare(IMAGES)
    assert times_made() == 2
    assert fingerprint(datasets.load(prepared)) == prepared.fingerprint
    assert [path.name for path in Path(prepared.folder).parent.iterdir() if path.is_dir()] == [
        Path(prepared.folder).name
    ]


def test_cache_that_cannot_be_written(made: Made, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(UserError, match="data set made cannot be read or kept"):
        made.prepare(IMAGES)
