"""Give results to other programs: files, MLflow, TensorBoard.

Text goes to standard output unless `--out` names a file. csv-2017 is the nine columns of the 2017
measurements without a header, csv-2017-short the older form (batch size, epochs, loss, accuracy,
time). Parquet, MLflow and TensorBoard are extras: pip install 'velodrome[parquet]' and so on.
What MLflow or TensorBoard has already is not given again.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer


def command(
    folders: Annotated[list[Path], typer.Argument(help="Run folders.")],
    format: Annotated[
        Literal["csv", "csv-2017", "csv-2017-short", "jsonl", "markdown", "parquet"] | None,
        typer.Option(help="A file of this form."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The file; parquet needs one.")] = None,
    mlflow: Annotated[str | None, typer.Option(help="URI of MLflow's store or server.")] = None,
    experiment: Annotated[
        str | None, typer.Option(help="In MLflow; else the folder's name.")
    ] = None,
    tensorboard: Annotated[Path | None, typer.Option(help="TensorBoard's log folder.")] = None,
) -> None:
    """Read the folders' results and write each form asked for."""
    from velodrome.errors import UserError
    from velodrome.exports import mlflow as to_mlflow
    from velodrome.exports import parquet
    from velodrome.exports import tensorboard as to_tensorboard
    from velodrome.exports.text import written
    from velodrome.parity.verdict import known
    from velodrome.report.reading import read

    if (format, mlflow, tensorboard) == (None, None, None):
        raise UserError("nothing to export to: give --format, --mlflow or --tensorboard")
    if format is None and out is not None:
        raise UserError("--out is the file of a --format: give one")
    if format == "parquet" and out is None:
        raise UserError("parquet is no text: name its file with --out")
    found = read(folders)
    if format == "parquet" and out is not None:
        parquet.write(found, out)
    elif format is not None and format != "parquet":
        text = written(format, found, known(folders))
        if out is None:
            typer.echo(text, nl=False)
        else:
            out.write_text(text)
    if mlflow is not None:
        count = to_mlflow.log(found, mlflow, experiment or "-".join(f.name for f in folders))
        typer.echo(f"{count} of {len(found)} trials logged to MLflow", err=True)
    if tensorboard is not None:
        count = to_tensorboard.log(found, tensorboard)
        typer.echo(f"{count} of {len(found)} trials written for TensorBoard", err=True)
