"""Results in MLflow: a run a trial, its metrics an epoch."""

from collections.abc import Iterable
from typing import Any

from velodrome.errors import UserError
from velodrome.exports import curves
from velodrome.extras import extra
from velodrome.report.process import Result

_AT_ONCE = 1000  # metrics that MLflow takes in one request
_KEY = "velodrome.trial"


def log(results: Iterable[Result], uri: str, experiment: str) -> int:
    """Log every trial that is not in the experiment yet.

    Args:
        results: of one run folder or several.
        uri: of the tracking server or store, as MLflow writes it.
        experiment: its name; made if there is none.

    Returns:
        How many trials were logged.

    Raises:
        UserError: MLflow is not installed, or refuses the store.
    """
    mlflow = extra("mlflow", "mlflow")
    try:
        return _log_all(mlflow.MlflowClient(tracking_uri=uri), list(results), experiment)
    except mlflow.MlflowException as error:
        raise UserError(f"MLflow at {uri}: {error.message}") from None


def _log_all(client: Any, results: list[Result], experiment: str) -> int:
    found = client.get_experiment_by_name(experiment)
    place = found.experiment_id if found else client.create_experiment(experiment)
    known = _known(client, place)
    new = [each for each in results if _key(each) not in known]
    for each in new:
        _log(client, place, each)
    return len(new)


def _key(result: Result) -> str:
    return f"{result.record.id}-{result.record.attempt}"


def _known(client: Any, experiment: str) -> set[str]:
    known: set[str] = set()
    token = None
    while True:
        page = client.search_runs([experiment], max_results=_AT_ONCE, page_token=token)
        known |= {run.data.tags.get(_KEY, "") for run in page}
        token = page.token
        if not token:
            return known


def _log(client: Any, experiment: str, result: Result) -> None:
    entities = extra("mlflow.entities", "mlflow")
    record = result.record
    run = client.create_run(
        experiment,
        start_time=_milliseconds(curves.began(record)),
        run_name=curves.title(record),
        tags={
            _KEY: _key(result),
            "status": record.status,
            "reason": record.failure.reason if record.failure else "",
            "machine": record.machine.cpu,
            "infrastructure": record.site.infrastructure or "",
        },
    ).info.run_id
    parameters = [entities.Param(k, str(v)) for k, v in curves.parameters(record).items()]
    client.log_batch(run, params=parameters)
    end = _milliseconds(curves.ended(record))
    metrics = [
        entities.Metric(point.name, point.value, _milliseconds(point.time), point.epoch)
        for point in curves.points(record)
    ]
    metrics += [
        entities.Metric(name, value, end, len(record.epochs))
        for name, value in curves.final(result).items()
    ]
    for start in range(0, len(metrics), _AT_ONCE):
        client.log_batch(run, metrics=metrics[start : start + _AT_ONCE])
    client.set_terminated(run, "FINISHED" if result.figures else "FAILED", end)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
