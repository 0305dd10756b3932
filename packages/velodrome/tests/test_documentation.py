"""The documentation builds without a warning, and what it tells to type works.

That is the site's pages, and the READMEs that are on it or beside it. Before each block of
commands stands, in a comment, how it is tested: `test`, as it stands; `test: COMMAND`, a quicker
one of the same form; `not tested: REASON`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
READMES = (
    ROOT / "packages" / "keras-mxnet-backend" / "README.md",
    ROOT / "examples" / "velodrome-numpy" / "README.md",
)
_BLOCK = re.compile(r"(?:<!-- (.*?) -->\n *)?```sh\n(.*?)```", re.DOTALL)


def pages() -> list[str]:
    """Every page with a block of commands."""
    found = sorted([*(ROOT / "docs").rglob("*.md"), *READMES])
    return [str(page.relative_to(ROOT)) for page in found if "```sh\n" in page.read_text()]


@pytest.mark.parametrize("page", pages())
def test_the_commands_of_a_page(page: str, tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for comment, block in _BLOCK.findall((ROOT / page).read_text()):
        kind, _, command = comment.partition(":")
        assert kind in ("test", "not tested"), f"{page}: how is this tested?\n{block}"
        assert kind == "test" or command, f"{page}: why is this not tested?\n{block}"
        if kind == "test":
            answer = subprocess.run(
                ["bash", "-euc", command or block],
                cwd=tmp_path,
                env=os.environ | {"PATH": path},
                capture_output=True,
                text=True,
                check=False,
            )
            assert answer.returncode == 0, f"{command or block}\n{answer.stdout}{answer.stderr}"


def test_it_builds_without_a_warning(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert "Race your own model" in (tmp_path / "index.html").read_text()
