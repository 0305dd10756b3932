from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from velodrome import study as studies
from velodrome import yaml
from velodrome.errors import UserError
from velodrome.study import configurations, parse

MINIMAL: dict[str, Any] = {"name": "s", "workloads": "lenet", "engines": ["torch", "jax"]}


def test_single_values_stand_for_lists_and_defaults_are_the_workloads() -> None:
    points = list(configurations(parse(MINIMAL)))
    assert [(each.engine, each.batch_size, each.epochs) for each in points] == [
        ("torch", 64, 12),
        ("jax", 64, 12),
    ]


def test_a_study_is_the_product_of_its_axes() -> None:
    study = parse(
        MINIMAL
        | {
            "workloads": ["lenet", "mlp"],
            "batch_sizes": [64, 128, 256],
            "settings": ["stock", "tuned"],
            "recipe": {"learning_rate": [0.1, 0.01], "momentum": 0.9},
        }
    )
    points = list(configurations(study))
    assert len(points) == 2 * 2 * 3 * 2 * 2
    assert len({str(each) for each in points}) == len(points)
    assert {each.recipe.momentum for each in points} == {0.9}


def test_excluded_combinations_are_left_out() -> None:
    study = parse(
        MINIMAL
        | {
            "batch_sizes": [64, 128],
            "recipe": {"learning_rate": [0.1, 0.01]},
            "exclude": [{"engine": "jax", "batch_size": 64}, {"learning_rate": [0.1]}],
        }
    )
    points = [(each.engine, each.batch_size) for each in configurations(study)]
    assert points == [("torch", 64), ("torch", 128), ("jax", 128)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_size": 64}, ["batch_size", "batch_sizes"]),
        ({"engines": ["tensorflo"]}, ["tensorflo", "tensorflow", "mxnet"]),
        ({"workloads": "alexnet"}, ["alexnet", "lenet"]),
        ({"dataset": "mnits"}, ["mnits", "mnist"]),
        ({"batch_sizes": [64, -1]}, ["batch_sizes[1]", ">= 1"]),
        ({"batch_sizes": "many"}, ["batch_sizes", "int"]),
        ({"epochs": 0}, ["epochs", ">= 1"]),
        ({"repeats": 1.5}, ["repeats", "int"]),
        ({"settings": "fast"}, ["settings", "fast", "stock, tuned"]),
        ({"dtypes": ["float32", "float8"]}, ["dtypes[1]", "float8", "bfloat16, float16"]),
        ({"scaling": "stong"}, ["did you mean 'strong'"]),
        ({"pins": "keras=3.14.1"}, ["pins[0]", "NAME==VERSION", "keras==3.14.1"]),
        ({"devices": "tpu"}, ["tpu", "cpu:2"]),
        ({"recipe": {"rate": 0.1}}, ["rate", "learning_rate"]),
        ({"recipe": {"learning_rate": -1.0}}, ["learning_rate", "> 0"]),
        ({"exclude": [{"batch": 64}]}, ["batch", "batch_size"]),
        ({"exclude": [{"workload": "lenet"}]}, ["nothing"]),
        ({"engines": ["jax", "jax"]}, ["engines", "twice"]),
        ({"engines": []}, ["engines", "length"]),
        ({"site": {"price": 3}}, ["site", "price"]),
        ({"timeout": 0}, ["timeout", "> 0"]),
    ],
)
def test_bad_input_is_named_in_one_line(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        parse(MINIMAL | change)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_study_file_is_read_and_changed_from_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("workloads: lenet\nengines: torch\nrecipe: {learning_rate: 1e-4}\n")
    study = studies.load(str(path), {"repeats": 3})
    assert (study.name, study.repeats) == ("mine", 3)
    assert [each.recipe.learning_rate for each in configurations(study)] == [1e-4]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2\n", ["twice", "line 1"]),
        ("a: [1\n", ["YAML", "line 2"]),
        ("- a\n", ["mapping"]),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        studies.load(str(path))
    for word in (str(path), *words):
        assert word in str(error.value)


@pytest.mark.parametrize("target", ["nothing.yaml", "lenet5", "lenet,alexnet"])
def test_an_unknown_target_is_refused(target: str) -> None:
    with pytest.raises(UserError):
        studies.load(target)


def test_every_bundled_study_holds_together() -> None:
    assert "quickstart" in studies.bundled()
    for name in studies.bundled():
        assert list(configurations(studies.load(name)))
        assert studies.summary(name)


@given(st.floats(1e-12, 1e12))
def test_every_way_of_writing_a_number_is_a_number(value: float) -> None:
    for text in (f"{value:e}", f"{value:.0e}", f"{value:.3E}", repr(value)):
        assert yaml.scalar(text) == pytest.approx(float(text))
    assert yaml.scalar("1e-4") == 1e-4


def test_weak_scaling_counts_the_samples_of_each_device() -> None:
    whole = parse(
        {
            "name": "weak",
            "workloads": "lenet",
            "engines": "jax",
            "devices": ["cpu", "cpu:4"],
            "batch_sizes": 32,
            "scaling": "weak",
        }
    )
    assert [each.batch_size for each in configurations(whole)] == [32, 128]
