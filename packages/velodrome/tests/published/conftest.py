import pytest

from velodrome.published import PublishedRow, load


@pytest.fixture(scope="session")
def rows() -> list[PublishedRow]:
    return load()


@pytest.fixture(scope="session")
def by_id(rows: list[PublishedRow]) -> dict[str, PublishedRow]:
    return {row.row_id: row for row in rows}
