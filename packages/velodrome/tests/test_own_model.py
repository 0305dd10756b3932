"""A model of the user's own, raced by real workers; its data and its errors."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from builders import trial
from velodrome import datasets, engines, environment, store, study, user_code, workloads
from velodrome.datasets import own
from velodrome.datasets.structure import named
from velodrome.errors import UserError
from velodrome.executors import local
from velodrome.executors.base import Outcome
from velodrome.job import Job, OwnModel
from velodrome.parity import check, verdict
from velodrome.parity.deviation import Quantity
from velodrome.workloads.graph import Graph

MODEL = """\
import keras
import numpy as np
from keras import layers, ops


class Scaled(layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x):
        if keras.backend.backend() == "torch":
            raise NotImplementedError("no scaling here")
        return x * self.scale


def huber(y_true, y_pred):
    wanted = ops.one_hot(ops.cast(ops.reshape(y_true, (-1,)), "int32"), 3, dtype=y_pred.dtype)
    return ops.mean(ops.square(wanted - y_pred), axis=-1)


def build():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(8, "tanh"), Scaled(), layers.Dropout(0.5),
         layers.Dense(3, "softmax")]
    )
    model.compile("adam", huber, metrics=["accuracy"])
    return model
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model and its data, in which commands are given."""
    monkeypatch.chdir(tmp_path)
    own._prepared.cache_clear()
    (tmp_path / "my_model.py").write_text(MODEL)
    rng = np.random.default_rng(0)
    np.savez("my_data.npz", x=rng.random((120, 4)), y=rng.integers(0, 3, 120))
    return tmp_path


def velodrome(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "velodrome", *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_a_race_answers_and_a_backend_that_cannot_is_a_row(here: Path) -> None:
    answer = velodrome(
        *("run", "my_model.py:build", "--data", "my_data.npz", "--repeats", "1"),
        *("--engine", "keras-jax,keras-tensorflow,keras-torch,torch", "--epochs", "2"),
    )

    assert answer.returncode == 0, answer.stderr
    folder = here / "runs" / "my_model"
    records = {record.trial.engine: record for record in store.read(folder)}
    assert {name: record.status for name, record in records.items()} == {
        "keras-jax": "ok",
        "keras-tensorflow": "ok",
        "keras-torch": "unsupported",
        "torch": "unsupported",
    }
    failure = records["keras-torch"].failure
    assert failure is not None
    assert failure.reason == "my_model.py:12: NotImplementedError: no scaling here"

    # The same weights and batches, but for dropout's draws, which are each backend's own.
    first, second = records["keras-jax"].epochs[0], records["keras-tensorflow"].epochs[0]
    assert first.loss == pytest.approx(second.loss, rel=0.1)
    assert first.learning_rate == pytest.approx(0.001)

    verdicts = {each.trial.engine: each for each in verdict.read(folder)}
    assert verdicts["keras-jax"].status == "parity"
    assert verdicts["keras-tensorflow"].status == "parity"
    assert verdicts["keras-torch"].status == "unsupported"
    # Keras makes float32 of float64 in operators that this model needs.
    assert verdicts["keras-jax"].reference == "float32"

    *_, last = answer.stdout.splitlines()
    winner = max(("jax", "tensorflow"), key=lambda name: _speed(records[f"keras-{name}"]))
    assert last == f"export KERAS_BACKEND={winner}"
    page = (folder / "report.html").read_text()
    headline = page.split('id="answer">')[1].split("</p>")[0]
    assert f"export KERAS_BACKEND={winner}" in headline
    assert "a reference in float64 (my_model.py:build in float32: " in page


def _speed(record: object) -> float:
    from velodrome.report.lines import results

    (speed,) = results([record]).samples_sec  # type: ignore[list-item]
    return float(speed)


def test_the_example_is_raced_on_four_backends(here: Path) -> None:
    example = Path(__file__).parents[3] / "examples" / "my_model"
    answer = velodrome(
        *("run", f"{example / 'my_model.py'}:build", "--data", f"{example / 'my_data.py'}:load"),
        *("--repeats", "1", "--epochs", "2", "--out", str(here / "out")),
    )
    assert answer.returncode == 0, answer.stderr
    records = {record.trial.engine: record for record in store.read(here / "out")}
    assert {name: record.status for name, record in records.items()} == dict.fromkeys(
        ["keras-jax", "keras-mxnet", "keras-tensorflow", "keras-torch"], "ok"
    )
    assert {each.status for each in verdict.read(here / "out")} == {"parity"}
    winner = max(records.values(), key=_speed).trial.engine
    assert f"export KERAS_BACKEND={winner.removeprefix('keras-')}" in answer.stdout


def test_several_inputs_and_outputs_are_raced_on_four_backends(here: Path) -> None:
    example = Path(__file__).parents[3] / "examples" / "my_model"
    answer = velodrome(
        *(
            "run",
            f"{example / 'tickets.py'}:build",
            "--data",
            f"{example / 'tickets_data.py'}:load",
        ),
        *("--repeats", "1", "--epochs", "1", "--samples", "100", "--out", str(here / "out")),
    )
    assert answer.returncode == 0, answer.stderr
    records = {record.trial.engine: record for record in store.read(here / "out")}
    assert {name: record.status for name, record in records.items()} == dict.fromkeys(
        ["keras-jax", "keras-mxnet", "keras-tensorflow", "keras-torch"], "ok"
    )
    # The only output that tells an accuracy.
    assert all(0 <= record.epochs[0].validation_accuracy <= 1 for record in records.values())
    verdicts = verdict.read(here / "out")
    assert {each.status for each in verdicts} == {"parity"}
    assert {"gradient of 006 department/bias", "gradient of 008 priority/bias"} <= {
        deviation.quantity for deviation in verdicts[0].deviations
    }


def test_a_third_backend_and_another_draw_are_asked_where_references_disagree(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On TensorFlow, Keras's Adam squares a word's gradients before it adds them.
    (here / "my_model.py").write_text(
        "import keras\n"
        "from keras import layers\n\n"
        "def build():\n"
        "    model = keras.Sequential([keras.Input((6,), dtype='int32'), layers.Embedding(5, 4),\n"
        "                              layers.GlobalAveragePooling1D(), layers.Dense(3)])\n"
        "    model.compile('adam', keras.losses.SparseCategoricalCrossentropy(from_logits=True))\n"
        "    return model\n"
    )
    rng = np.random.default_rng(0)
    np.savez("words.npz", x=rng.integers(0, 5, (120, 6)), y=rng.integers(0, 3, 120))
    make = check._References._make

    def planted(self: check._References, job: Job) -> check._Reference:
        if job.trial.seed == 0:
            return check._Reference({}, "float32", 1.0, "rounding tipped a decision")
        return make(self, job)

    monkeypatch.setattr(check._References, "_make", planted)
    wanted = study.load("my_model.py:build", {"dataset": "words.npz", "engines": ["keras-jax"]})
    lines: list[str] = []
    (found,) = check.check(wanted, 1, here / "out", lines.append)
    assert (found.status, found.reference, found.draws) == ("parity", "float32", 1)
    assert any("rounding tipped a decision" in line for line in lines)
    assert any("reference: keras-torch in float32" in line for line in lines)


def test_references_in_float32_may_be_apart_by_its_noise(here: Path) -> None:
    job = Job(trial=trial(), graph=Graph((), ()), data=own.prepare("my_data.npz"), threads=1)
    value = np.array([3.0, 4.0])

    def agreed(error: float) -> check._Reference:
        # As a tiny step moves a weight: its rounding is a share of the update.
        first = check._finer({"update of a/kernel": Quantity(value, 1e-3)}, "float32")
        second = {"update of a/kernel": Quantity(value + error, 1e-3)}
        return check._agreed(("one", first), ("other", second), job, 1.0, "float32")

    # What rounding does to the references in float64 foretells what it does to an engine.
    assert agreed(1e-3).quantities["update of a/kernel"].noise == pytest.approx(1e-3 * 2**-29)
    with pytest.raises(UserError, match="one and other disagree in float32"):
        agreed(0.1)


SEVERAL = """\
import keras
from keras import layers, ops


class Two(keras.Model):
    def __init__(self):
        super().__init__()
        self.left, self.right = layers.Dense(8, "tanh"), layers.Dense(8, "tanh")
        self.amount, self.kind = layers.Dense(1), layers.Dense(3)

    def call(self, inputs):
        x, z = inputs
        both = ops.concatenate([self.left(x), self.right(z)], axis=-1)
        return self.amount(both), self.kind(both)


def build():
    return Two()


def named():
    x, z = keras.Input((4,)), keras.Input((2,))
    both = layers.Concatenate()([x, z])
    return keras.Model([x, z], [layers.Dense(1, name="amount")(both),
                                layers.Dense(3, name="kind")(both)])


def compiled():
    x, z = keras.Input((4,)), keras.Input((2,))
    both = layers.Concatenate()([x, z])
    model = keras.Model([x, z], {"amount": layers.Dense(1)(both), "kind": layers.Dense(1)(both)})
    model.compile("sgd", LOSS)
    return model


def alone():
    x, z = keras.Input((4,)), keras.Input((2,))
    model = keras.Model([x, z], layers.Dense(1)(layers.Concatenate()([x, z])))
    model.compile("sgd", "mse")
    return model
"""


@pytest.mark.parametrize(
    ("function", "labels", "words"),
    [
        (
            "build",
            ("y/0", "y/1"),
            "Adam on MeanSquaredError of 0, SparseCategoricalCrossentropy from logits of 1",
        ),
        (
            "named",
            ("y/amount", "y/kind"),
            "MeanSquaredError of amount, SparseCategoricalCrossentropy from logits of kind",
        ),
    ],
)
def test_each_output_has_the_loss_that_its_labels_suggest(
    here: Path, function: str, labels: tuple[str, str], words: str
) -> None:
    name = several(here, function, labels)
    outcome = rehearsed(here, name)
    assert outcome.ledger is not None, outcome.last_lines
    assert outcome.kind is None
    assert words in "; ".join(outcome.ledger.notes)


def test_outputs_whose_labels_have_other_names_are_refused(here: Path) -> None:
    outcome = rehearsed(here, several(here, "named", ("y/amount", "y/sort")))
    assert outcome.reason.startswith(
        "the model's outputs are amount, kind and the labels amount, sort: give both the same names"
    )


@pytest.mark.parametrize("loss", ["'mse'", "{'amount': 'mse', 'kind': 'mse'}"])
def test_an_output_that_has_a_loss_and_no_labels_is_named(here: Path, loss: str) -> None:
    name = several(here, "compiled", ("y/amount", "y/sort"), loss)
    assert rehearsed(here, name).reason == (
        "the model is compiled with a loss for amount, kind and the labels are amount, sort: "
        "give both the same names"
    )


@pytest.mark.parametrize(
    ("odd", "loss", "refused"),
    [
        (3, "'sparse_categorical_crossentropy'", "from 1 to 3"),
        (-1.0, "keras.losses.SparseCategoricalCrossentropy(from_logits=True)", "from -1 to 1"),
        (-1, "keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)", ""),
    ],
)
def test_labels_that_are_no_class_of_the_model_are_refused(
    here: Path, odd: float, loss: str, refused: str
) -> None:
    (here / "my_model.py").write_text(
        "import keras\n\n"
        "def build():\n"
        "    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])\n"
        f"    model.compile('sgd', {loss})\n"
        "    return model\n"
    )
    # One of all samples, of which a rehearsal trains on few.
    y = np.full(120, 1, np.array(odd).dtype)
    y[-1] = odd
    np.savez("my_data.npz", x=np.zeros((120, 4)), y=y)
    wanted = (
        f"the labels run {refused} and the model has 3 outputs for them, one a class: number the "
        "classes from 0 to 2, or give it more outputs"
    )
    assert rehearsed(here, "my_model.py:build").reason == (wanted if refused else "")


def test_labels_that_are_no_class_of_one_of_several_outputs_are_refused(here: Path) -> None:
    name = several(here, "named", ("y/amount", "y/kind"))
    with np.load("my_data.npz") as data:
        np.savez("my_data.npz", **{**data, "y/kind": data["y/kind"] * 2})
    own._prepared.cache_clear()
    assert rehearsed(here, name).reason.startswith(
        "the labels of kind run from 0 to 4 and the model has 3 outputs for them"
    )


def test_a_training_step_for_another_backend_is_unsupported(here: Path) -> None:
    (here / "my_model.py").write_text(
        "import keras\n\n"
        "class Mine(keras.Sequential):\n"
        "    def train_step(self, data):\n"
        "        return super().train_step(data)\n\n"
        "def build():\n"
        "    model = Mine([keras.Input((4,)), keras.layers.Dense(3)])\n"
        "    model.compile('sgd')\n"
        "    return model\n"
    )
    outcome = rehearsed(here, "my_model.py:build")
    assert (outcome.kind, outcome.reason) == (
        "unsupported",
        "the model's own train_step takes (self, data), and Keras on this backend calls it with "
        "(self, state, data)",
    )


def test_words_beyond_an_embedding_are_refused(here: Path) -> None:
    (here / "my_model.py").write_text(
        "import keras\n"
        "from keras import layers\n\n"
        "def build():\n"
        "    x, z = keras.Input((4,), name='x'), keras.Input((6,), dtype='int32', name='words')\n"
        "    means = layers.GlobalAveragePooling1D()(layers.Embedding(5, 2, name='table')(z))\n"
        "    return keras.Model([x, z], layers.Dense(3)(layers.Concatenate()([x, means])))\n"
    )
    words = np.zeros((120, 6), np.int32)
    words[-1, -1] = 5  # of all samples one, of which a rehearsal trains on few
    np.savez("my_data.npz", **{"x/words": words, "x/x": np.ones((120, 4)), "y": words[:, 0]})
    assert rehearsed(here, "my_model.py:build").reason == (
        "x/words runs from 0 to 5 and the Embedding 'table' has 5 rows: give numbers from 0 to 4, "
        "or it more rows"
    )


@pytest.mark.parametrize(
    ("function", "given", "labels"),
    [
        ("compiled", "amount, kind", "0, 1, 2"),
        ("compiled", "amount, kind", "one array"),
        ("alone", "one array", "0, 1"),
        ("alone", "one array", "amount"),
    ],
)
def test_labels_in_another_form_than_outputs_are_refused(
    here: Path, function: str, given: str, labels: str
) -> None:
    name = several(here, function, ("y/amount", "y/kind"), "'mse'")
    with np.load("my_data.npz") as data:
        inputs = {each: data[each] for each in data.files if each.startswith("x/")}
        names = ["y"] if labels == "one array" else [f"y/{each}" for each in labels.split(", ")]
        np.savez("my_data.npz", **inputs, **dict.fromkeys(names, data["y/amount"]))
    own._prepared.cache_clear()
    assert rehearsed(here, name).reason == (
        f"the model gives {given} and the labels are {labels}: give both in the same form"
    )


def several(here: Path, function: str, labels: tuple[str, str], loss: str = "None") -> str:
    """A model and data of two inputs and two outputs; the model's name."""
    (here / "my_model.py").write_text(SEVERAL.replace("LOSS", loss))
    rng = np.random.default_rng(0)
    x, z, kind = rng.random((40, 4)), rng.random((40, 2)), rng.integers(0, 3, 40)
    both = dict(zip(labels, (x.sum(1), kind), strict=True))
    np.savez("my_data.npz", **{"x/0": x, "x/1": z}, **both)
    return f"my_model.py:{function}"


def test_an_error_is_the_users_at_the_users_line_and_nothing_is_run(here: Path) -> None:
    (here / "my_model.py").write_text(MODEL.replace("huber, metrics", "hubert, metrics"))
    answer = velodrome("run", "my_model.py:build", "--data", "my_data.npz", "--engine", "keras-jax")
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[-1] == (
        "velodrome: my_model.py:26: NameError: name 'hubert' is not defined"
    )
    assert not (here / "runs" / "my_model" / "results.jsonl").exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [("return 1 / 0", "ZeroDivisionError: division by zero"), ("raise SystemExit", "SystemExit:")],
)
def test_an_error_in_the_data_function_is_the_users(here: Path, body: str, words: str) -> None:
    (here / "my_data.py").write_text(f"def load():\n    {body}\n")
    with pytest.raises(UserError, match=rf"^my_data\.py:2: {words}$"):
        own.prepare("my_data.py:load")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("x, x, x", "gave a tuple of 3; it must give (x, y), "),
        ("x, ['cat'] * 9", "y holds text; give numbers (of classes, numpy.unique("),
        ("x, None", "y holds Python objects (None, text or "),
    ],
)
def test_what_a_data_function_gives_is_named(here: Path, given: str, words: str) -> None:
    (here / "my_data.py").write_text(
        f"import numpy as np\n\ndef load():\n    x = np.zeros(9)\n    return {given}\n"
    )
    with pytest.raises(UserError) as refused:
        own.prepare("my_data.py:load")
    assert words in str(refused.value)


def test_a_model_whose_file_leaves_is_an_error_at_its_line(here: Path) -> None:
    (here / "my_model.py").write_text("import sys\n\nsys.exit('no data here')\n")
    outcome = rehearsed(here, "my_model.py:build")
    assert outcome.reason == "my_model.py:3: SystemExit: no data here"


@pytest.mark.parametrize(
    "given",
    [
        "(x, y)",
        "((x[:96], y[:96]), (x[96:], y[96:]))",
        "(x[:96], y[:96], x[96:], y[96:])",
        "{'x': x, 'y': y}",
    ],
)
def test_a_function_gives_data_in_any_usual_form(here: Path, given: str) -> None:
    (here / "my_data.py").write_text(
        "import numpy as np\n\n"
        "def load():\n"
        "    x, y = np.arange(480.0).reshape(120, 4), np.arange(120) % 3\n"
        f"    return {given}\n"
    )
    prepared = own.prepare("my_data.py:load")
    assert (prepared.train, prepared.validation, prepared.classes) == (96, 24, 3)
    data = datasets.load(prepared)
    # Whatever their order: each sample has kept its label.
    assert all((x[0] / 4) % 3 == y for x, y in zip(*data.train, strict=True))
    assert data.train.x.dtype == np.float32
    assert data.train.y.dtype == np.int32


@pytest.mark.parametrize(
    ("given", "inputs", "labels"),
    [
        ("({'a': x, 'b': z}, y)", ("a", "b"), ("",)),
        ("({'b': z, 'a': x}, {'c': y, 'd': w})", ("b", "a"), ("c", "d")),
        ("([x, z], y)", ("0", "1"), ("",)),
        ("((x, z), [w, y])", ("0", "1"), ("0", "1")),
        ("([x, z], [w, y])", ("0", "1"), ("0", "1")),
        ("((x, z, z), (y, w))", ("0", "1", "2"), ("0", "1")),
        ("{'x': (x, z), 'y': {'c': y}}", ("0", "1"), ("c",)),
        ("{'x/a': x, 'x/b': z, 'y': y}", ("a", "b"), ("",)),
        ("(([x[:96], z[:96]], y[:96]), ([x[96:], z[96:]], y[96:]))", ("0", "1"), ("",)),
        (
            "({'a': x[:96], 'b': z[:96]}, [y[:96], w[:96]],"
            " {'b': z[96:], 'a': x[96:]}, [y[96:], w[96:]])",
            ("a", "b"),
            ("0", "1"),
        ),
    ],
)
def test_a_function_gives_several_inputs_and_labels_as_fit_takes_them(
    here: Path, given: str, inputs: tuple[str, ...], labels: tuple[str, ...]
) -> None:
    (here / "my_data.py").write_text(
        "import numpy as np\n\n"
        "def load():\n"
        "    z, w = np.arange(120), np.arange(120.0)\n"
        "    x, y = np.stack([z] * 4, 1), z % 3\n"
        f"    return {given}\n"
    )
    prepared = own.prepare("my_data.py:load")
    assert (prepared.inputs, prepared.labels) == (inputs, labels)
    assert (prepared.train, prepared.validation) == (96, 24)
    for samples in (None, 10):
        for split in datasets.load(prepared, samples):
            arrays = [*named(split.x).values(), *named(split.y).values()]
            assert len(arrays) == len(inputs) + len(labels)
            # Whatever their order: all arrays tell of the same samples.
            assert len({tuple(each.reshape(len(each), -1)[:, 0] % 3) for each in arrays}) == 1


def test_several_labels_are_mixed_by_the_first_that_are_classes(here: Path) -> None:
    kind = np.arange(60) // 20
    np.savez("sorted.npz", **{"x": kind, "y/amount": kind / 3, "y/kind": kind})
    data = datasets.load(own.prepare("sorted.npz"), 12)
    assert np.bincount(data.train.y["kind"]).tolist() == [4, 4, 4]
    assert (data.train.y["kind"] == data.train.x).all()


def test_names_and_their_order_are_in_the_fingerprint(here: Path) -> None:
    x, y = np.arange(20.0), np.arange(20) % 2
    found = set()
    for number, arrays in enumerate(
        [
            {"x": x, "y": y},
            {"x/0": x, "y": y},
            {"x/a": x, "y": y},
            {"x/a": x, "x/b": x, "y": y},
            {"x/b": x, "x/a": x, "y": y},
            {"x/a": x, "x/b": x, "y/a": y},
        ]
    ):
        np.savez(f"{number}.npz", **arrays)
        found.add(own.prepare(f"{number}.npz").fingerprint)
    assert len(found) == 6


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros((3, 2))}, "has x; it must have x_train, y_train"),
        ({"x": np.zeros((3, 2)), "y": np.zeros(2)}, "x has 3 samples and y 2"),
        ({"x": np.full((3, 2), np.nan), "y": np.zeros(3)}, "not finite"),
        ({"x": np.array(["a", "b"]), "y": np.zeros(2)}, "give numbers"),
        ({"x": np.array([[1], [1, 2]], object), "y": np.zeros(2)}, "x holds Python objects"),
        (
            {
                "x_train": np.zeros((3, 2)),
                "y_train": np.zeros(3),
                "x_test": np.zeros((3, 4)),
                "y_test": np.zeros(3),
            },
            "give one shape",
        ),
        (
            {"x/a": np.zeros((3, 2)), "x/b": np.zeros(2), "y": np.zeros(3)},
            "x/a has 3 samples and x/b 2",
        ),
        ({"x": np.zeros(3), "y/0": np.zeros(3), "y/1": np.zeros(2)}, "x has 3 samples and y/1 2"),
        ({"x/0": np.zeros(4), "x/1": np.zeros(4), "y": np.zeros(2)}, "y 2; .*: stack what are"),
        ({"x/a": np.full(3, np.inf), "y": np.zeros(3)}, "x/a holds values that are not finite"),
        ({"x": np.zeros(3), "y": np.zeros(3), "y/1": np.zeros(3)}, "y is one array and several"),
        ({"x_train/a": np.zeros(3)}, "has x_train/a; it must have x_train, y_train"),
        (
            {
                "x_train/a": np.zeros(3),
                "x_train/b": np.zeros(3),
                "y_train": np.zeros(3),
                "x_test/a": np.zeros(3),
                "y_test": np.zeros(3),
            },
            "has x_train/a, x_train/b and x_test/a; give the same arrays of both",
        ),
        (
            {
                "x_train/a": np.zeros((3, 2)),
                "y_train": np.zeros(3),
                "x_test/a": np.zeros((3, 4)),
                "y_test": np.zeros(3),
            },
            r"a sample of x_train/a has shape \(2,\), of x_test/a \(4,\); give one shape",
        ),
    ],
)
def test_data_that_cannot_be_trained_on_are_refused(
    here: Path, arrays: dict[str, np.ndarray], words: str
) -> None:
    np.savez("wrong.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=words):
        own.prepare("wrong.npz")


def test_what_is_no_archive_is_refused(here: Path) -> None:
    (here / "wrong.npz").write_text("hello")
    with pytest.raises(UserError, match=r"^wrong\.npz is no \.npz file; numpy\.savez writes one$"):
        own.prepare("wrong.npz")


def test_two_tuples_of_two_that_are_no_training_and_test_data_are_told(here: Path) -> None:
    (here / "my_data.py").write_text(
        "import numpy as np\n\n"
        "def load():\n"
        "    return (np.zeros((9, 4)), np.zeros((9, 2))), (np.zeros(9), np.zeros(9))\n"
    )
    with pytest.raises(UserError, match=r"^my_data\.py:load gave two tuples of two, .* as lists"):
        own.prepare("my_data.py:load")


def test_what_is_deeper_than_one_level_is_refused(here: Path) -> None:
    (here / "my_data.py").write_text(
        "import numpy as np\n\ndef load():\n    return {'a': {'b': np.zeros(9)}}, np.zeros(9)\n"
    )
    with pytest.raises(UserError, match=r"^my_data\.py:load: x/a is a dict of arrays; x must be"):
        own.prepare("my_data.py:load")


@pytest.mark.parametrize("names", ["'0': x, '1': x", "0: x, 1: x"])
def test_a_dictionary_whose_names_are_places_is_not_taken_for_a_list(
    here: Path, names: str
) -> None:
    (here / "my_data.py").write_text(
        f"import numpy as np\n\ndef load():\n    x = np.zeros(9)\n    return {{{names}}}, x\n"
    )
    with pytest.raises(UserError, match=r"^my_data\.py:load: x is a dictionary with the names .*1"):
        own.prepare("my_data.py:load")


def test_other_data_have_another_fingerprint(here: Path) -> None:
    before = own.prepare("my_data.npz").fingerprint
    own._prepared.cache_clear()
    rng = np.random.default_rng(1)
    np.savez("my_data.npz", x=rng.random((120, 4)), y=rng.integers(0, 3, 120))
    assert own.prepare("my_data.npz").fingerprint != before


def test_a_changed_file_or_a_changed_file_beside_it_has_another_digest(here: Path) -> None:
    (here / "blocks.py").write_text("WIDTH = 8\n")
    (here / "unused.py").write_text("")
    (here / "my_model.py").write_text("import blocks\n" + MODEL)
    reference = user_code.parse("my_model.py:build")
    found = [user_code.digest(reference)]
    (here / "unused.py").write_text("OTHER = 1\n")
    assert user_code.digest(reference) == found[0]
    (here / "blocks.py").write_text("WIDTH = 9\n")
    found.append(user_code.digest(reference))
    (here / "my_model.py").write_text("import blocks\n\n" + MODEL)
    found.append(user_code.digest(reference))
    found.append(user_code.digest(user_code.parse("my_model.py:other")))
    assert len(set(found)) == 4


def test_what_is_no_python_is_refused_at_its_line(here: Path) -> None:
    (here / "my_model.py").write_text("def build():\n    return (\n")
    with pytest.raises(UserError, match=r"^my_model\.py:2: SyntaxError"):
        user_code.digest(user_code.parse("my_model.py:build"))


def test_a_study_names_a_model_without_reading_it() -> None:
    found = study.load("nowhere/my model.py:build", {"dataset": "nowhere.npz"})
    assert found.name == "my-model"
    assert {engine.removeprefix("keras-") for engine in found.engines} == {
        "jax",
        "mxnet",
        "tensorflow",
        "torch",
    }
    assert workloads.get("nowhere/my model.py:build").own
    with pytest.raises(UserError, match="names no function"):
        study.load("my_model.py")
    with pytest.raises(UserError, match=r"a Keras model of your own is FILE\.py:FUNCTION$"):
        study.load("my_model:build")
    with pytest.raises(UserError, match="stands in its file"):
        study.load("my_model.py:build", {"recipe": {"momentum": [0.9]}})


@pytest.mark.parametrize("given", [None, "my_data.csv", "mnist"])
def test_data_of_another_kind_are_refused_with_what_is_accepted(given: str | None) -> None:
    with pytest.raises(UserError, match=r"of your own: give --data FILE\.npz, or FILE\.py:FUNC"):
        study.load("my_model.py:build", {"dataset": given})


def test_init_writes_a_study_that_can_be_read(here: Path) -> None:
    assert velodrome("init", "my_model.py:build", "--data", "my_data.npz").returncode == 0
    found = study.load("study.yaml")
    assert (found.workloads, found.dataset) == (("my_model.py:build",), "my_data.npz")
    again = velodrome("init")
    assert again.returncode == 2
    assert "there already" in again.stderr


def test_the_message_is_what_the_user_wrote() -> None:
    wrapped = (
        "Exception encountered when calling Mine.call().\n\n\x1b[1mno such\nthing\x1b[0m\n\n"
        "Arguments received by Mine.call():\n  x=1"
    )
    assert user_code.message(ValueError(wrapped)) == "ValueError: no such thing"
    assert user_code.message(KeyError(wrapped)) == "KeyError: no such thing"
    assert json.dumps(user_code.message(ValueError("x" * 900))).count("x") < 400
    of_a_graph = (
        'Detected at node loss defined at:\n  File "a.py", line 5, in <module>\n\n'
        "Received a label value of 6\n\t [[{{node loss}}]] [Op:__inference_9]"
    )
    assert user_code.message(ValueError(of_a_graph)) == "ValueError: Received a label value of 6"


def test_a_tensor_that_is_read_under_jax_is_told_at_its_line(here: Path) -> None:
    changed = "return x * self.scale if float(ops.max(x)) else x"
    (here / "my_model.py").write_text(MODEL.replace("return x * self.scale", changed))
    reason = rehearsed(here, "my_model.py:build").reason
    assert reason.startswith("my_model.py:13: ConcretizationTypeError: Abstract tracer value")


def test_the_ledger_has_the_dtypes_that_the_users_file_has_chosen(here: Path) -> None:
    policy = "def build():\n    keras.config.set_dtype_policy('mixed_bfloat16')\n"
    changed = MODEL.replace("def build():\n", policy)
    changed = changed.replace('name="scale"', 'name="scale", dtype="float16"')
    (here / "my_model.py").write_text(changed)
    outcome = rehearsed(here, "my_model.py:build")
    assert outcome.ledger is not None, outcome.last_lines
    assert outcome.ledger.dtype == "bfloat16 (variables float16 and float32)"


def test_the_ledger_says_that_a_step_ran_eagerly(here: Path) -> None:
    (here / "my_model.py").write_text(
        MODEL.replace("return x * self.scale", "return x * float(ops.max(self.scale))")
    )
    outcome = rehearsed(here, "my_model.py:build", "mxnet")
    assert outcome.ledger is not None, outcome.last_lines
    assert outcome.ledger.compile_mode == "eager"
    assert "Sequential.train_step runs eagerly: " in "; ".join(outcome.ledger.notes)


def rehearsed(here: Path, name: str, backend: str = "jax") -> Outcome:
    """The model built on a backend and trained for a step."""
    return local.run(
        Job(
            trial=trial(engine=f"keras-{backend}", workload=name, samples=16, batch_size=16),
            graph=Graph((), ()),
            data=own.prepare("my_data.npz"),
            threads=1,
            model=OwnModel(
                reference=name,
                digest=user_code.digest(user_code.parse(name)),
                weights=str(here / "weights.npz"),
                rehearsal=True,
            ),
        ),
        environment.ensure(backend, "cpu", report=print),
        variables=engines.registry.get(f"keras-{backend}").variables("stock", 1),
        timeout=300,
        log=here / "log",
        on_event=lambda event: None,
    )
