"""Write a study to start from, for a Keras model of your own."""

from pathlib import Path
from typing import Annotated

import typer

_STUDY = """\
# A race of your own Keras model over Keras's backends: velodrome run {study}
# Paths are relative to the folder that the command is given in.

# FILE.py:FUNCTION; the function takes nothing and gives a keras.Model, compiled or not.
# Several models are raced one after another: [small.py:build, large.py:build]
workloads: {model}

# An .npz file with x_train, y_train and x_test, y_test (or x and y alone: a fifth is kept apart),
# or FILE.py:FUNCTION, a function that takes nothing and gives such arrays. Of several inputs or
# labels x_train/title, x_train/tags in a file, and lists or dictionaries of arrays from a function.
dataset: {data}

# Where your model cannot run on one of these, the table says why.
engines: [keras-jax, keras-mxnet, keras-tensorflow, keras-torch]

# Every value of a list is raced: [32, 128]
batch_sizes: 32
epochs: 5

# Fresh processes for each engine. Fewer than seven cannot show that one of four is faster.
repeats: 7

# Or let velodrome add repeats until every ratio is as sure as this:
# precision: 2%
# max_repeats: 30

# Train on part of the samples, while you try things out:
# samples: 1000

# Of the initial weights, and of the order of samples and runs:
seed: 0
"""


def command(
    model: Annotated[str, typer.Argument(help="FILE.py:FUNCTION.")] = "my_model.py:build",
    data: Annotated[str, typer.Option(help="FILE.npz or FILE.py:FUNCTION.")] = "my_data.npz",
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("study.yaml"),
) -> None:
    """Write the file, unless it is there."""
    from velodrome import user_code
    from velodrome.errors import UserError

    user_code.parse(model)
    try:
        with out.open("x") as file:
            file.write(_STUDY.format(model=model, data=data, study=out))
    except FileExistsError:
        raise UserError(f"{out} is there already; give another name with --out") from None
    except OSError as error:
        raise UserError(f"cannot write {out}: {error}") from None
    typer.echo(f"wrote {out}; run it: velodrome run {out}")
