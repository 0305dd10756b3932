"""Where velodrome keeps what it makes: data sets, environments."""

import os
from pathlib import Path


def home() -> Path:
    """The cache's folder, which need not exist yet.

    `$VELODROME_HOME`, else `$XDG_CACHE_HOME/velodrome`, else `~/.cache/velodrome`. As the XDG
    specification asks, an empty variable counts as unset.
    """
    if chosen := os.environ.get("VELODROME_HOME"):
        return Path(chosen).expanduser().absolute()
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache").absolute() / "velodrome"
