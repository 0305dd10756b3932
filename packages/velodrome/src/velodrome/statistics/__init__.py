"""What the numbers say, and how sure they are: pure functions, no files, no clocks.

One value a process goes in: the process is the unit, because epochs of one process
share its memory layout, thread placement and compiled code, and pooling them would
count one accident many times (Kalibera and Jones, "Rigorous benchmarking in
reasonable time", ISMM 2013).
"""

from velodrome.statistics.comparison import (
    LEVEL,
    TIE,
    Comparison,
    Quantity,
    Ranking,
    Verdict,
    compare,
    holm,
    least_processes,
    median,
    median_interval,
    rank,
)
from velodrome.statistics.derived import (
    Estimate,
    break_even_epoch,
    scaling_efficiency,
    throughput,
    time_to_accuracy,
)
from velodrome.statistics.planning import (
    VerdictRates,
    draw_verdicts,
    half_width,
    noise,
    pooled_noise,
    repeats_for_precision,
    repeats_to_add,
    verdict_rates,
)
from velodrome.statistics.steady import SteadyState, SteadyStates, steady_state, steady_states

__all__ = [
    "LEVEL",
    "TIE",
    "Comparison",
    "Estimate",
    "Quantity",
    "Ranking",
    "SteadyState",
    "SteadyStates",
    "Verdict",
    "VerdictRates",
    "break_even_epoch",
    "compare",
    "draw_verdicts",
    "half_width",
    "holm",
    "least_processes",
    "median",
    "median_interval",
    "noise",
    "pooled_noise",
    "rank",
    "repeats_for_precision",
    "repeats_to_add",
    "scaling_efficiency",
    "steady_state",
    "steady_states",
    "throughput",
    "time_to_accuracy",
    "verdict_rates",
]
