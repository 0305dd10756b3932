"""The engines that race: a file an engine, each with a tuple `ENGINES`.

Engines of one's own lie in a folder that `VELODROME_ENGINES` names: they are found, raced and
compared like these.
"""

import os

from velodrome.engines.base import Engine
from velodrome.job import Job
from velodrome.registry import Registry

OWN = "VELODROME_ENGINES"

if _folder := os.environ.get(OWN):
    __path__.append(_folder)

registry: Registry[type[Engine]] = Registry("engine", __name__, "ENGINES")


def make(job: Job) -> Engine:
    """The engine of a job's trial, its framework imported.

    Raises:
        UserError: there is no such engine.
    """
    if job.model is None:
        return registry.get(job.trial.engine)(job)
    from velodrome.engines.own_model import CLASSES

    return CLASSES[job.trial.engine](job)
