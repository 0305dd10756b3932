"""The command line: every module here is a verb.

A verb's module has a docstring, whose first line is its help, and either a function
`command` or, for a verb with verbs of its own, a `typer.Typer` named `app`. Whatever
is slow to import is imported inside the function, so that `--help` answers at once.
"""

import gc
import importlib
import logging
import pkgutil
import signal
import sys
import traceback
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from velodrome import __version__
from velodrome.errors import UserError


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"velodrome {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback with an error; anywhere on the line.")
    ] = False,
) -> None:
    """The same training job, raced on every engine, on this machine."""


def application() -> typer.Typer:
    """All verbs, put together."""
    app = typer.Typer(
        callback=_options,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for found in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{found.name}")
        help_line = (module.__doc__ or "").splitlines()[0]
        if hasattr(module, "app"):
            app.add_typer(module.app, name=found.name, help=help_line)
        else:
            app.command(found.name, help=module.__doc__)(module.command)
    return app


# Objects made, and not freed, before cycles among them are looked for: most of what a command
# makes stays until its end.
_COLLECT_AFTER = 100_000


def main() -> None:
    """Run the command line: exit status 0, 1 for a failure, 2 for wrong use, 130 if stopped."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    gc.set_threshold(_COLLECT_AFTER)
    signal.signal(signal.SIGTERM, _stop)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("velodrome").setLevel(logging.INFO)
    try:
        status = application()(args=arguments, prog_name="velodrome", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except TyperException as error:
        print(f"velodrome: {error.format_message()} (see velodrome --help)", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        print("velodrome: stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has had enough.
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        if len(arguments) < len(sys.argv) - 1:
            traceback.print_exc()
        elif isinstance(error, UserError):
            print(f"velodrome: {error}", file=sys.stderr)
        else:
            print(
                f"velodrome: internal error, {type(error).__name__}: {error} (--debug shows where)",
                file=sys.stderr,
            )
        sys.exit(2 if isinstance(error, UserError) else 1)
    finally:
        # Memory goes with the process: not looked through for cycles first, which takes longer
        # the more there is.
        gc.freeze()


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
