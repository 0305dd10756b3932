"""Show a folder of runs in the browser while they grow.

The pages are served on this machine alone and change nothing; they load themselves anew as
results come.
"""

from pathlib import Path
from typing import Annotated

import typer


def command(
    runs: Annotated[Path, typer.Argument(help="A run folder, or a folder of them.")] = Path("runs"),
    port: Annotated[int, typer.Option(help="0 for any that is free.")] = 8017,
) -> None:
    """Serve until stopped."""
    from velodrome.report.server import server

    with server(runs, port) as listening:
        print(f"http://{listening.server_address[0]!s}:{listening.server_port}/  (Ctrl-C stops it)")
        try:
            listening.serve_forever()
        except KeyboardInterrupt:
            print("stopped")
