"""Results as text: CSV, the two forms of 2017, JSON Lines, Markdown."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from velodrome import record
from velodrome.parity.verdict import Verdict
from velodrome.report import results_csv, summary, table
from velodrome.report.process import Result

Form = Literal["csv", "csv-2017", "csv-2017-short", "jsonl", "markdown"]


def to_csv(results: Sequence[Result]) -> str:
    """`results.csv`: a header and a line a trial, failures too."""
    return _csv([results_csv.COLUMNS, *results_csv.lines(results)])


def to_csv_2017(results: Sequence[Result]) -> str:
    """The nine columns of 2017 without a header; only trials that came to their end.

    Infrastructure, model, script, batch size, GPUs, accuracy, epochs, seconds an epoch (our
    `time`: training alone, the median over settled epochs) and samples a second.
    """
    columns = len(results_csv.SEED_COLUMNS)
    return _csv(line[:columns] for line in results_csv.lines(_finished(results)))


def to_csv_2017_short(results: Sequence[Result]) -> str:
    """The older form: batch size, epochs, loss, accuracy and seconds of all epochs together.

    Loss and accuracy are those of the validation data after the last epoch; the time covers
    the validation passes.
    """
    return _csv(
        (
            result.record.trial.batch_size,
            result.record.trial.epochs,
            figures.last.validation_loss,
            figures.last.validation_accuracy,
            figures.trained + figures.evaluated,
        )
        for result in _finished(results)
        if (figures := result.figures)
    )


def to_jsonl(results: Sequence[Result]) -> str:
    """A record a line, as in `results.jsonl`, every epoch in it."""
    return "".join(record.encode(result.record).decode() + "\n" for result in results)


def to_markdown(results: Sequence[Result], verdicts: Sequence[Verdict] = ()) -> str:
    """The answers and the rankings, for a README or a pull request.

    Args:
        results: of one run folder or several.
        verdicts: on the engines' parity.
    """
    groups = summary.groups(results, verdicts=verdicts)
    answers = "\n".join(f"- {line}" for line in summary.answer(groups).splitlines())
    return "\n".join([answers + "\n", *(table.markdown(group) for group in groups)])


def _finished(results: Sequence[Result]) -> list[Result]:
    return [result for result in summary.latest(results) if result.figures]


def _csv(lines: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def written(form: Form, results: Sequence[Result], verdicts: Sequence[Verdict]) -> str:
    """The results in a form; parity stands in Markdown alone."""
    if form == "markdown":
        return to_markdown(results, verdicts)
    forms: dict[Form, Callable[[Sequence[Result]], str]] = {
        "csv": to_csv,
        "csv-2017": to_csv_2017,
        "csv-2017-short": to_csv_2017_short,
        "jsonl": to_jsonl,
    }
    return forms[form](results)
