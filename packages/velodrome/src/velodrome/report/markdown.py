"""`report.md`: the ranking, the failures, the figure and what it was measured on."""

from collections.abc import Sequence
from pathlib import Path

from velodrome.machine import Machine
from velodrome.report import findings, ledger, scaling, steadiness, summary, table
from velodrome.report.findings import Finding
from velodrome.report.steadiness import Drift
from velodrome.report.summary import Group

_GIB = 2**30


def write(
    groups: Sequence[Group],
    found: Sequence[Finding],
    about: Sequence[str],
    figures: Sequence[Path],
    path: Path,
) -> None:
    """Write the report of a run.

    Args:
        groups: the ranking.
        found: the sentences that the results allow.
        about: what `machines` says of the groups.
        figures: the files of the figures.
        path: where it goes.
    """
    parts = [f"# {path.parent.name}\n", summary.answer(groups) + "\n"]
    parts += about
    parts.append(f"Settings: {settings(groups)}\n")
    parts += [findings.markdown(found)] if found else []
    parts += [table.markdown(group) for group in groups]
    parts += [text] if (text := scaling.markdown(scaling.scalings(groups))) else []
    parts += [
        f"![{figure.stem}]({figure.relative_to(path.parent)})\n"
        for figure in figures
        if figure.suffix == ".svg"
    ]
    parts.append(ledger.markdown(groups))
    parts += ["Columns:\n", *(f"- {name}: {meaning}" for name, meaning in LEGEND.items())]
    parts.append(
        "\nEvery number, and failures with their last lines, is in `results.csv` and "
        "`results.jsonl`; `report.html` shows it all.\n"
    )
    path.write_text("\n".join(parts))


def machines(groups: Sequence[Group]) -> list[str]:
    """What it was measured on and how steady that was, a paragraph a machine."""
    drifts = steadiness.drifts(groups)
    metered = {group.machine for group in groups if any(row.joules for row in group.rows)}
    return [_machine(machine, drift, machine in metered) for machine, drift in drifts.items()]


def _machine(machine: Machine, drift: Drift | None, metered: bool) -> str:
    gpus = ", ".join(gpu.name for gpu in machine.gpus) or "no GPU"
    return (
        f"Measured on {machine.cpu}, {machine.cores} cores, "
        f"{machine.memory / _GIB:.0f} GiB, {gpus}; {machine.system}."
        + (f" {steadiness.sentence(drift)}" if drift else "")
        + ("" if metered else " Energy was not measured: no meter (RAPL, NVML) can be read here.")
        + "\n"
    )


def settings(groups: Sequence[Group]) -> str:
    """What the settings that occur mean."""
    kinds = sorted({row.trial.settings for group in groups for row in group.rows})
    meaning = {
        "stock": "stock leaves each framework as it comes",
        "tuned": "tuned sets what each framework's experts set (threads, memory format, BLAS)",
    }
    return "; ".join(meaning[kind] for kind in kinds) + "."


LEGEND = {
    "samples/s": "trained samples over `s/epoch`",
    "s/epoch": "the median over settled epochs of the time to train one, validation excluded, "
    "then the median over the runs (fresh processes)",
    "ratio": "`samples/s` over the fastest engine's",
    "99% interval": "of the ratio; it holds for all engines of the table together, and `verdict` "
    "is read from it",
    "parity": "whether the engine was seen to train the same mathematics as a reference in "
    "float64 (in float32 where a model of one's own cannot be computed in it), with this code, "
    "these versions and this recipe; only `yes`, and `unknown` where nobody compared, are ranked",
    "accuracy": "on the validation data after the last epoch",
    "1st step": "seconds of one training step from cold, compilation included",
    "MiB": "the peak of the process tree's resident memory",
    "own MiB": "the same less what the interpreter held with the framework loaded",
    "GPU MiB": "most device memory of the process at the end of an epoch, what was in use before "
    "left out; by its side what the framework says it had allocated",
    "joules/epoch": "spent on training an epoch, by RAPL and NVML where they can be read",
    "cost/epoch": "`s/epoch` at the price an hour; `cost to target` the time `to target` at it",
    "of ceiling": "operations a second of the training steps, counted from the layer graph, over "
    "those of large matrix products on this machine in the same dtype",
    "cpus, threads": "the processors a run was kept on; what the framework says of its worker "
    "threads, of all threads of the process at its end",
    "with validation": "`s/epoch` and the validation pass",
    "to target": "the training time until the target accuracy",
    "overtaken": "the number of epochs after which the fastest engine, set-up included, is ahead",
    "real, user, sys": "of the whole process",
}
"""What the columns of the tables mean."""
