import pytest
from hypothesis import given
from hypothesis import strategies as st

from velodrome.published import PublishedRow, load
from velodrome.published.claims import Claim, Verdict, judge, load_claims

VERDICTS = {claim.claim_id: judge(claim, load()) for claim in load_claims()}


def verdict(claim_id: str) -> Verdict:
    return VERDICTS[claim_id]


def values(claim_id: str) -> list[float]:
    return [ratio.value for ratio in verdict(claim_id).ratios]


def beside(claim_id: str) -> list[float]:
    return [ratio.value for ratio in verdict(claim_id).beside]


def test_outcomes() -> None:
    assert {name: each.outcome for name, each in VERDICTS.items()} == {
        "keras-mxnet-4-gpus": "borne out",
        "keras-mxnet-8-gpus": "borne out",
        "official-4-gpus": "borne out",
        "official-8-gpus": "borne out",
        "mxnet-over-tensorflow": "not borne out",
        "mxnet-faster-than-tensorflow": "borne out",
        "gpu-over-cpu": "borne out",
        "larger-batch-8-gpus": "not testable",
        "k80-over-xeon": "borne out",
        "neon-over-mxnet-1-gpu": "not borne out",
        "mxnet-memory-saving": "borne out",
        "neon-2-gpus-slower": "borne out",
        "mxnet-2-over-3-over-1-gpus": "borne out",
    }


@pytest.mark.parametrize(
    ("claim_id", "expected"),
    [
        ("keras-mxnet-4-gpus", [3.252]),
        ("keras-mxnet-8-gpus", [4.887]),
        ("official-4-gpus", [3.689]),
        ("official-8-gpus", [6.694]),
        ("k80-over-xeon", [20.0]),
        ("neon-over-mxnet-1-gpu", [1.851, 2.001]),
        ("mxnet-memory-saving", [4.259, 4.828]),
        ("neon-2-gpus-slower", [2.111, 2.170]),
        ("mxnet-2-over-3-over-1-gpus", [1.034, 1.114, 1.171]),
    ],
)
def test_ratios(claim_id: str, expected: list[float]) -> None:
    assert values(claim_id) == pytest.approx(expected, abs=5e-4)


def test_scaling_beside_the_claims() -> None:
    best_over_best, at_64, *_ = beside("keras-mxnet-4-gpus")
    assert best_over_best == pytest.approx(3.205, abs=5e-4)
    assert at_64 == pytest.approx(1.06, abs=5e-3)
    assert beside("keras-mxnet-8-gpus")[0] == pytest.approx(0.77, abs=5e-3)
    assert beside("keras-mxnet-8-gpus")[-1] == pytest.approx(4.816, abs=5e-4)
    assert beside("official-4-gpus")[0] == pytest.approx(0.92, abs=5e-3)
    assert beside("official-8-gpus")[0] == pytest.approx(0.53, abs=5e-3)
    assert beside("k80-over-xeon") == pytest.approx([16.7], abs=0.05)
    assert beside("mxnet-memory-saving") == pytest.approx([2.8], abs=0.05)


def test_mxnet_over_tensorflow_is_borne_out_by_no_row(by_id: dict[str, PublishedRow]) -> None:
    told = verdict("mxnet-over-tensorflow")
    assert (told.held, len(told.ratios)) == (0, 21)
    ranges = {}
    for gpus in (1, 4, 8):
        of = [ratio.value for ratio in told.ratios if by_id[ratio.dividend].gpus == gpus]
        ranges[gpus] = (round(min(of), 2), round(max(of), 2))
    assert ranges == {1: (3.38, 6.14), 4: (2.20, 5.57), 8: (1.98, 4.48)}


def test_compared_rows_are_of_one_kind(by_id: dict[str, PublishedRow]) -> None:
    for claim in load_claims():
        for dividend, divisor in claim.pairs + claim.beside:
            over, under = by_id[dividend], by_id[divisor]
            assert over.seed == under.seed == claim.seed
            assert (over.workload, over.epochs) == (under.workload, under.epochs)
            if claim.claim_id.startswith("mxnet-") and claim.seed == "000":
                assert (over.gpus, over.batch_total) == (under.gpus, under.batch_total)
                assert (over.framework, under.framework) == ("mxnet", "tensorflow")


def claim_of(low: float, high: float | None, unit: float) -> Claim:
    return Claim(
        claim_id="x", seed="000", source_line=1, about="", printed="", quantity="throughput",
        low=low, high=high, unit=unit, pairs=(("000-019", "000-005"),),
    )  # fmt: skip


@given(st.integers(1, 900), st.floats(0.01, 9.99))
def test_a_figure_holds_if_rounding_or_cutting_gives_it(hundredths: int, ratio: float) -> None:
    claimed = hundredths / 100
    gives_it = hundredths in (round(ratio * 100), int(ratio * 100))
    on_an_edge = abs(ratio * 200 - round(ratio * 200)) < 1e-6
    assert on_an_edge or claim_of(claimed, claimed, 0.01).holds(ratio) == gives_it


def test_an_order_needs_more_than_a_tie() -> None:
    assert not claim_of(1, None, 0).holds(1.0)
    assert claim_of(1, None, 0).holds(1.0001)


def test_missing_rows_and_figures_are_errors(rows: list[PublishedRow]) -> None:
    claim = claim_of(1, None, 0)
    with pytest.raises(KeyError):
        judge(claim, [])
    crashed = Claim(
        claim_id="x", seed="004", source_line=1, about="", printed="", quantity="memory",
        low=1, unit=0, pairs=(("004-001", "004-002"),),
    )  # fmt: skip
    with pytest.raises(ValueError, match="row 004-001 has no memory"):
        judge(crashed, rows)
