"""Results in TensorBoard: a folder of event files a trial, a step an epoch."""

from pathlib import Path

from velodrome.exports import curves
from velodrome.extras import extra
from velodrome.report.results import Results


def log(results: Results, folder: Path) -> int:
    """Write the curves of every trial that is not in the folder yet.

    Args:
        results: of one run folder or several; trials without an epoch have no curves.
        folder: TensorBoard's `--logdir`.

    Returns:
        How many trials were written.

    Raises:
        UserError: TensorBoard is not installed.
    """
    writer = extra("tensorboard.summary.writer.event_file_writer", "tensorboard")
    new = [
        (record, place)
        for record in results.records
        if record.epochs and not (place := folder / curves.title(record)).exists()
    ]
    for record, place in new:
        file = writer.EventFileWriter(str(place))
        for point in curves.points(record):
            file.add_event(_event(point))
        file.close()
    return len(new)


def _event(point: curves.Point) -> object:
    events = extra("tensorboard.compat.proto.event_pb2", "tensorboard")
    summaries = extra("tensorboard.compat.proto.summary_pb2", "tensorboard")
    value = summaries.Summary.Value(tag=point.name, simple_value=point.value)
    return events.Event(
        wall_time=point.time, step=point.epoch, summary=summaries.Summary(value=[value])
    )
