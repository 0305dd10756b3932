"""Run one trial of a run folder again, by itself, showing all that its process prints."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    folder: Annotated[Path, typer.Argument(help="The run folder.")],
    trial: Annotated[str, typer.Argument(help="The trial's id, or how it starts.")],
    timeout: Annotated[float, typer.Option(help="Seconds it may take.")] = 3600.0,
    memory_limit: Annotated[float | None, typer.Option(help="GiB it may address.")] = None,
) -> int:
    """Run the trial; nothing is added to the folder's results."""
    import tempfile

    import msgspec

    from velodrome import runner
    from velodrome.progress import watching

    job, pins = runner.again(folder, trial, memory_limit)
    with watching() as observer, tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "worker.log"
        outcome = runner.run_alone(job, pins, timeout, log, observer)
        typer.echo(log.read_text(errors="replace"), nl=False)
    typer.echo(msgspec.json.format(msgspec.json.encode(outcome), indent=2).decode())
    return 0 if outcome.kind is None else 1
