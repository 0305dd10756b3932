"""The engines that race: a file an engine, each with a tuple `ENGINES`."""

from velodrome.engines.base import Engine
from velodrome.registry import Registry

registry: Registry[type[Engine]] = Registry("engine", __name__, "ENGINES")
