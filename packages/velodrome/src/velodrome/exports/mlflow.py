"""Results in MLflow: a run a trial, its metrics an epoch."""

from typing import Any

from velodrome.errors import UserError
from velodrome.exports import curves
from velodrome.extras import extra
from velodrome.record import Record
from velodrome.report.results import Results

_AT_ONCE = 1000  # metrics that MLflow takes in one request
_KEY = "velodrome.trial"


def log(results: Results, uri: str, experiment: str) -> int:
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
        return _log_all(mlflow.MlflowClient(tracking_uri=uri), results, experiment)
    except mlflow.MlflowException as error:
        raise UserError(f"MLflow at {uri}: {error.message}") from None


def _log_all(client: Any, results: Results, experiment: str) -> int:
    found = client.get_experiment_by_name(experiment)
    place = found.experiment_id if found else client.create_experiment(experiment)
    known = _known(client, place)
    keys = map(_key, results.id, results.attempt)
    new = [number for number, key in enumerate(keys) if key not in known]
    for number in new:
        _log(client, place, results.records[number], curves.final(results, number))
    return len(new)


def _key(trial: str, attempt: int) -> str:
    return f"{trial}-{attempt}"


def _known(client: Any, experiment: str) -> set[str]:
    known: set[str] = set()
    token = None
    while True:
        page = client.search_runs([experiment], max_results=_AT_ONCE, page_token=token)
        known |= {run.data.tags.get(_KEY, "") for run in page}
        token = page.token
        if not token:
            return known


def _log(client: Any, experiment: str, record: Record, final: dict[str, float]) -> None:
    entities = extra("mlflow.entities", "mlflow")
    run = client.create_run(
        experiment,
        start_time=_milliseconds(curves.began(record)),
        run_name=curves.title(record),
        tags={
            _KEY: _key(record.id, record.attempt),
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
        entities.Metric(name, value, end, len(record.epochs)) for name, value in final.items()
    ]
    for start in range(0, len(metrics), _AT_ONCE):
        client.log_batch(run, metrics=metrics[start : start + _AT_ONCE])
    client.set_terminated(run, "FINISHED" if record.status == "ok" else "FAILED", end)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
