"""`report.md`: the ranking, the failures, the figure and what it was measured on."""

from collections.abc import Sequence
from pathlib import Path

from velodrome.machine import Machine
from velodrome.report import findings, summary, table
from velodrome.report.summary import Group

_GIB = 2**30


def write(groups: Sequence[Group], figures: Sequence[Path], path: Path) -> None:
    """Write the report of a run."""
    parts = [f"# {path.parent.name}\n", summary.answer(groups) + "\n"]
    parts += machines(groups)
    parts.append(f"Settings: {settings(groups)}\n")
    parts += [findings.markdown(found)] if (found := findings.findings(groups)) else []
    parts += [table.markdown(group) for group in groups]
    parts += [
        f"![{figure.stem}]({figure.relative_to(path.parent)})\n"
        for figure in figures
        if figure.suffix == ".svg"
    ]
    parts += ["Columns:\n", *(f"- {name}: {meaning}" for name, meaning in LEGEND.items())]
    parts.append(
        "\nEvery number, and failures with their last lines, is in `results.csv` and "
        "`results.jsonl`; `report.html` shows it all.\n"
    )
    path.write_text("\n".join(parts))


def machines(groups: Sequence[Group]) -> list[str]:
    """What it was measured on, a paragraph a machine."""
    return [_machine(machine) for machine in dict.fromkeys(group.machine for group in groups)]


def _machine(machine: Machine) -> str:
    gpus = ", ".join(gpu.name for gpu in machine.gpus) or "no GPU"
    return (
        f"Measured on {machine.cpu}, {machine.cores} cores, "
        f"{machine.memory / _GIB:.0f} GiB, {gpus}; {machine.system}.\n"
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
    "accuracy": "on the validation data after the last epoch",
    "1st step": "seconds of one training step from cold, compilation included",
    "MiB": "the peak of the process tree's resident memory",
    "own MiB": "the same less what the interpreter held with the framework loaded",
    "with validation": "`s/epoch` and the validation pass",
    "to target": "the training time until the target accuracy",
    "overtaken": "the number of epochs after which the fastest engine, set-up included, is ahead",
    "real, user, sys": "of the whole process",
}
"""What the columns of the tables mean."""
