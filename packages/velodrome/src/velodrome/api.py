"""Velodrome from Python, for notebooks: run a study, load a run folder, go on with the results."""

from collections.abc import Mapping
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from velodrome import planner, report, study
from velodrome.extras import extra
from velodrome.progress import watching
from velodrome.report import figures, results_csv, summary
from velodrome.report.table import Ranking

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def run(
    target: str, *, out: str | Path | None = None, retry_failed: bool = False, **keys: Any
) -> "Results":
    """Run what is missing of a study, as `velodrome run` does.

    Args:
        target: a study's file or name, or workloads, with commas between them.
        out: the run folder; `runs/NAME` unless given.
        retry_failed: whether failed trials are run once more.
        keys: keys of a study, such as `engines=["jax", "torch"]` or `batch_sizes=64`.

    Raises:
        UserError: before anything runs, whatever is wrong with the study or the folder.
    """
    wanted = study.load(target, keys)
    folder = Path(out) if out else Path("runs") / wanted.name
    with watching() as observer:
        planner.run(wanted, folder, observer, retry_failed=retry_failed)
    return load(folder)


def load(*folders: str | Path) -> "Results":
    """The results of one run folder or several, put together.

    Raises:
        UserError: a folder holds no results.
    """
    return Results([Path(folder) for folder in folders])


class Results:
    """What runs gave; a notebook shows it as the report's table.

    Attributes:
        groups: the rows of the table, in groups of configurations that are fair to compare.
    """

    def __init__(self, folders: list[Path]) -> None:
        self._measured, self.groups, self._by_engine = report.read(folders, report.Selection())

    @property
    def answer(self) -> str:
        """A sentence a group: which engine was fastest, by how much, and how sure that is."""
        return summary.answer(self.groups)

    def frame(self) -> Any:
        """A row a trial, failures too: the columns of `results.csv`, as a pandas DataFrame.

        Raises:
            UserError: pandas is not installed.
        """
        pandas = extra("pandas", "pandas")
        return pandas.read_csv(StringIO(results_csv.text(self._measured)))

    @cached_property
    def figures(self) -> Mapping[str, "Figure"]:
        """The report's figures, by the names of their files, as matplotlib's objects."""
        from velodrome.drawing.figure import figure

        return {name: figure(chart) for name, chart in figures.named(self._by_engine)}

    def __repr__(self) -> str:
        return self.answer

    def _repr_html_(self) -> str:
        console = report.console(160, record=True)
        for group in self.groups:
            console.print(Ranking(group))
        console.print(self.answer, soft_wrap=True)
        form = '<pre style="line-height: 1.2; overflow-x: auto">{code}</pre>'
        return console.export_html(inline_styles=True, code_format=form)
