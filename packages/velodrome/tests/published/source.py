"""The tables of the documents, read from their rows kept verbatim in `tables/`.

A line there is the line's number in its document, a colon, and the line.
"""

from collections.abc import Iterator
from pathlib import Path

TABLES = Path(__file__).parent / "tables"


def lines(seed: str) -> dict[int, str]:
    numbered = (
        line.split(":", 1) for line in (TABLES / f"{seed}.txt").read_text("utf-8").splitlines()
    )
    return {int(number): text for number, text in numbered}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


def blocks(seed: str) -> Iterator[tuple[int, list[str]]]:
    """Lines that follow each other, with the number of the first: a table or a console log."""
    first, block = 0, list[str]()
    for number, text in lines(seed).items():
        if block and number != first + len(block):
            yield first, block
            block = []
        if not block:
            first = number
        block.append(text)
    yield first, block


def records(seed: str) -> Iterator[tuple[int, str, dict[str, str]]]:
    """Of a table whose runs are lines: line number, line, and cell by column heading."""
    ((first, (head, _, *body)),) = blocks(seed)
    for offset, line in enumerate(body, start=2):
        yield first + offset, line, dict(zip(cells(head), cells(line), strict=True))


def columns(table: list[str]) -> list[tuple[str, dict[str, str]]]:
    """Of a table whose runs are columns: heading, and cell by row label."""
    head, _, *body = (cells(line) for line in table)
    return [
        (heading, {row[0]: row[place] for row in body})
        for place, heading in enumerate(head[1:], start=1)
    ]
