"""Where trials run: a file an executor, each with a tuple `EXECUTORS`."""

from velodrome.executors.base import Executor
from velodrome.registry import Registry

registry: Registry[type[Executor]] = Registry("executor", __name__, "EXECUTORS")


def named(text: str, jobs: int | None) -> Executor:
    """The executor that a user asks for: a name, or `NAME://PLACE`.

    Raises:
        UserError: there is none of that name, or it cannot be used here.
    """
    name, _, place = text.partition("://")
    return registry.get(name)(place, jobs)
