"""Compare two run folders: before and after, two versions, or two machines.

Prints a line for each configuration that both have: the second run's throughput over the
first's, with an interval that holds at 99% for all lines together. With --fail-if-slower the
exit status is 1 if the second is surely slower, by more than that, or fails where the first
did not.
"""

from pathlib import Path
from typing import Annotated

import typer


def command(
    a: Annotated[Path, typer.Argument(help="The run folder that is judged against.")],
    b: Annotated[Path, typer.Argument(help="The run folder that is judged.")],
    fail_if_slower: Annotated[
        str | None, typer.Option(help="Exit with 1 if anything is slower by more, such as 5%.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the comparison as Markdown, too.")
    ] = None,
) -> int:
    """Print what differs, and by how much."""
    from velodrome import percent
    from velodrome.errors import UserError
    from velodrome.parity.verdict import known
    from velodrome.report import compare
    from velodrome.report.reading import Reading

    bound = None if fail_if_slower is None else percent.parse(fail_if_slower, "--fail-if-slower")
    measured = Reading([a, b]).by_folder()
    first, second = (
        compare.run(results, known([folder]))
        for folder, results in zip((a, b), measured, strict=True)
    )
    match = compare.match(first, second)
    if not match.pairs:
        raise UserError(
            f"{a} and {b} have no configuration in common: "
            f"{(match.only_a or ('nothing',))[0]} against {(match.only_b or ('nothing',))[0]}"
        )

    def lost(pair: compare.Pair) -> bool:
        return bound is not None and (compare.slower(pair, bound) or compare.broken(pair))

    for difference in match.differences:
        typer.echo(f"note: {difference}")
    for pair in match.pairs:
        typer.echo(f"{compare.line(pair)}{' (FAILED)' if lost(pair) else ''}")
    for folder, only in ((a, match.only_a), (b, match.only_b)):
        for title in only:
            typer.echo(f"only in {folder}: {title}")
    if markdown is not None:
        markdown.write_text(compare.markdown(match, bound))
    return 1 if any(pair.refused or lost(pair) for pair in match.pairs) else 0
