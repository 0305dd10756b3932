"""Results as Parquet: a row a trial, the columns of `results.csv` with types."""

from pathlib import Path
from tempfile import TemporaryDirectory

from velodrome.extras import extra
from velodrome.report import results_csv
from velodrome.report.results import Results

# Fixed, so that files of several runs can be read together, whatever was left empty in one.
_TEXT = {
    "infrastructure", "model", "script", "engine", "pins", "devices", "status", "id", "started",
    "dataset", "settings", "dtype", "reason",
}  # fmt: skip
_WHOLE = {
    "batch_size", "gpus", "epochs", "attempt", "repeat", "samples", "seed",
    "imported_memory", "peak_memory", "own_memory",
}  # fmt: skip
_TRUTH = {"settled"}


def write(results: Results, path: Path) -> None:
    """Write every result, failures too; what was not measured is null.

    Raises:
        UserError: DuckDB is not installed.
    """
    duckdb = extra("duckdb", "parquet")
    types = {name: _type(name) for name in results_csv.COLUMNS}
    with TemporaryDirectory() as folder:
        lines = Path(folder) / "results.csv"
        results_csv.write(results, lines)
        duckdb.connect().read_csv(str(lines), header=True, dtype=types).write_parquet(
            str(path), compression="zstd"
        )


def _type(column: str) -> str:
    if column in _TEXT:
        return "VARCHAR"
    if column in _WHOLE:
        return "BIGINT"
    return "BOOLEAN" if column in _TRUTH else "DOUBLE"
