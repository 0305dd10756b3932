"""Operations counted by hand beside those counted from the graph."""

import msgspec
import pytest

from builders import record, trial
from velodrome import workloads
from velodrome.report import summary
from velodrome.report.ceiling import share_of_ceiling
from velodrome.report.lines import results
from velodrome.workloads import operations
from velodrome.workloads.graph import sequential
from velodrome.workloads.layers import LSTM, Conv, Dense, Flatten, MaxPool, SelfAttention


def test_lenet_by_hand() -> None:
    first = 2 * 28 * 28 * 20 * 5 * 5 * 1
    second = 2 * 14 * 14 * 50 * 5 * 5 * 20
    dense = 2 * 7 * 7 * 50 * 500 + 2 * 500 * 10
    # The first convolution has no gradient to hand on: the data is not trained.
    expected = 2 * first + 3 * (second + dense)
    assert operations.training(workloads.registry.get("lenet").graph) == expected


def test_strides_and_padding_count_what_comes_out() -> None:
    strided = sequential((8, 8, 3), Conv(filters=4, window=(3, 3), stride=(2, 2)), Flatten())
    assert operations.training(strided) == 2 * (2 * 4 * 4 * 4 * 9 * 3)
    valid = sequential((8, 8, 3), Conv(filters=4, window=(3, 3), padding="valid"), Flatten())
    assert operations.training(valid) == 2 * (2 * 6 * 6 * 4 * 9 * 3)


def test_sequences() -> None:
    assert operations.forward(LSTM(units=4), (10, 3), (4,)) == 10 * 2 * (3 + 4) * 16
    # Four projections, then scores and their use: two products of length x length x units.
    attention = operations.forward(SelfAttention(heads=2), (10, 8), (10, 8))
    assert attention == 4 * 2 * 10 * 8 * 8 + 2 * 2 * 10 * 10 * 8
    assert operations.forward(MaxPool(), (8, 8, 3), (4, 4, 3)) == 0


def test_layers_in_front_of_all_training_hand_no_gradient_on() -> None:
    graph = sequential((4, 4, 1), MaxPool(), Flatten(), Dense(units=3), Dense(units=2))
    assert operations.training(graph) == 2 * (2 * 4 * 3) + 3 * (2 * 3 * 2)


def test_every_workload_can_be_counted() -> None:
    for workload in workloads.registry.all().values():
        assert operations.training(workload.graph) > 2 * workload.graph.parameter_count() / 10


def test_the_share_of_the_ceiling_needs_ceiling_and_the_same_graph() -> None:
    lenet = workloads.registry.get("lenet")
    one = record(trial(graph=lenet.digest()), seconds=(1.0,) * 4)  # 1000 samples a second
    per_sample = operations.training(lenet.graph)

    def share(of: object) -> float | None:
        (group,) = summary.groups(results([of]))  # type: ignore[list-item]
        return share_of_ceiling(group.rows[0])

    ceiling = 4000.0 * per_sample
    assert share(msgspec.structs.replace(one, ceiling=ceiling)) == pytest.approx(0.25)
    assert share(one) is None
    assert share(msgspec.structs.replace(record(), ceiling=ceiling)) is None
