"""What the documents of 2017 said of their figures, recomputed from the rows.

A claim is a ratio, or an order, which is a ratio above 1. It names the pairs of rows that it
rests on, so that anyone can follow the division.
"""

from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Literal

import msgspec

from velodrome.published.rows import PublishedRow

Quantity = Literal["throughput", "epoch time", "run time", "memory"]
Outcome = Literal["borne out", "not borne out", "not testable"]


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sentence's fact.

    Attributes:
        claim_id: its name.
        seed: the document.
        source_line: line of the sentence in it, from 1.
        about: what is compared, in our words.
        printed: the figure as printed, or the order's word.
        quantity: what the ratios are of: samples/s, seconds an epoch, seconds of the whole run,
            or MiB above idle over all GPUs.
        low: smallest ratio claimed.
        high: largest ratio claimed; None is without bound.
        unit: one of the last printed digit, as a ratio; 0 is an order, where 1 is not enough.
        pairs: row ids (dividend, divisor) that the claim rests on.
        beside: pairs that it does not rest on and that put it in proportion.
    """

    claim_id: str
    seed: str
    source_line: int
    about: str
    printed: str
    quantity: Quantity
    low: float
    high: float | None = None
    unit: float
    pairs: tuple[tuple[str, str], ...]
    beside: tuple[tuple[str, str], ...] = ()

    def holds(self, ratio: float) -> bool:
        """Whether the ratio, rounded or cut to the printed digits, is as claimed."""
        if self.unit == 0:
            return ratio > self.low
        below_high = self.high is None or ratio < self.high + self.unit
        return ratio >= self.low - self.unit / 2 and below_high


class Ratio(msgspec.Struct, frozen=True):
    """One division: the value, and the ids of the rows divided."""

    value: float
    dividend: str
    divisor: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A claim recomputed.

    Attributes:
        claim: the claim.
        outcome: `borne out` if every ratio it rests on is as claimed; `not testable` if it
            rests on rows that were never run.
        held: how many of `ratios` are as claimed.
        ratios: those the claim rests on.
        beside: those that put it in proportion.
    """

    claim: Claim
    outcome: Outcome
    held: int
    ratios: tuple[Ratio, ...]
    beside: tuple[Ratio, ...]


def load_claims() -> list[Claim]:
    """All claims, in the order of the documents."""
    text = resources.files(__package__).joinpath("claims.jsonl").read_bytes()
    return msgspec.json.Decoder(Claim).decode_lines(text)


def judge(claim: Claim, rows: Iterable[PublishedRow]) -> Verdict:
    """Recompute a claim.

    Raises:
        KeyError: a row it names is not among `rows`.
        ValueError: a row it names lacks the quantity.
    """
    by_id = {row.row_id: row for row in rows}
    ratios = _ratios(claim.quantity, claim.pairs, by_id)
    held = sum(claim.holds(ratio.value) for ratio in ratios)
    outcome: Outcome
    if any(by_id[name].status == "placeholder" for pair in claim.pairs for name in pair):
        outcome = "not testable"
    else:
        outcome = "borne out" if held == len(ratios) else "not borne out"
    return Verdict(
        claim=claim,
        outcome=outcome,
        held=held,
        ratios=ratios,
        beside=_ratios(claim.quantity, claim.beside, by_id),
    )


def _ratios(
    quantity: Quantity, pairs: Sequence[tuple[str, str]], by_id: dict[str, PublishedRow]
) -> tuple[Ratio, ...]:
    return tuple(
        Ratio(
            _value(quantity, by_id[dividend]) / _value(quantity, by_id[divisor]), dividend, divisor
        )
        for dividend, divisor in pairs
    )


def _value(quantity: Quantity, row: PublishedRow) -> float:
    match quantity:
        case "throughput":
            value = row.throughput_per_s
        case "epoch time":
            value = row.epoch_time_s
        case "run time":
            value = row.total_time_s
        case "memory" if row.mem_peak_mib is not None and row.mem_idle_mib is not None:
            value = row.mem_peak_mib - row.mem_idle_mib
        case "memory":
            value = None
    if value is None:
        raise ValueError(f"row {row.row_id} has no {quantity}")
    return value
