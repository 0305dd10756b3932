"""Results as text: CSV, the two forms of 2017, JSON Lines, Markdown."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from velodrome import record
from velodrome.parity.verdict import Verdict
from velodrome.report import results_csv, summary, table
from velodrome.report.results import Results

Form = Literal["csv", "csv-2017", "csv-2017-short", "jsonl", "markdown"]


def to_csv(results: Results) -> str:
    """`results.csv`: a header and a line a trial, failures too."""
    return _text([",".join(results_csv.COLUMNS), *results_csv.lines(results)])


def to_csv_2017(results: Results) -> str:
    """The nine columns of 2017 without a header; only trials that came to their end.

    Infrastructure, model, script, batch size, GPUs, accuracy, epochs, seconds an epoch (our
    `time`: training alone, the median over settled epochs) and samples a second.
    """
    return _text(results_csv.lines(_finished(results), results_csv.SEED_COLUMNS))


def to_csv_2017_short(results: Results) -> str:
    """The older form: batch size, epochs, loss, accuracy and seconds of all epochs together.

    Loss and accuracy are those of the validation data after the last epoch; the time covers
    the validation passes.
    """
    columns = (
        "batch_size",
        "epochs",
        "validation_loss",
        "accuracy",
        "time_all_epochs_with_validation",
    )
    return _text(results_csv.lines(_finished(results), columns))


def to_jsonl(results: Results) -> str:
    """A record a line, as in `results.jsonl`, every epoch in it."""
    return _text(record.encode(each).decode() for each in results.records)


def to_markdown(results: Results, verdicts: Sequence[Verdict] = ()) -> str:
    """The answers and the rankings, for a README or a pull request.

    Args:
        results: of one run folder or several.
        verdicts: on the engines' parity.
    """
    groups = summary.groups(results, verdicts=verdicts)
    answers = "\n".join(f"- {line}" for line in summary.answer(groups).splitlines())
    return "\n".join([answers + "\n", *(table.markdown(group) for group in groups)])


def _finished(results: Results) -> Results:
    latest = summary.latest(results)
    return latest.take(latest.ok)


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def written(form: Form, results: Results, verdicts: Sequence[Verdict]) -> str:
    """The results in a form; parity stands in Markdown alone."""
    if form == "markdown":
        return to_markdown(results, verdicts)
    forms: dict[Form, Callable[[Results], str]] = {
        "csv": to_csv,
        "csv-2017": to_csv_2017,
        "csv-2017-short": to_csv_2017_short,
        "jsonl": to_jsonl,
    }
    return forms[form](results)
