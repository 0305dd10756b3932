"""What the documentation takes from the repository around it; MkDocs calls this as a hook.

A page that is `<!-- include FILE -->` is that file. A link to a page of the documentation is kept,
wherever it stands; one to anything else in the repository becomes its path, in words.
"""

import os
import re
from pathlib import Path
from typing import Any

_REPOSITORY = Path(__file__).parents[1]
_INCLUDE = re.compile(r"<!-- include (\S+) -->\s*")
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s:#]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The text of a page, with its links put right."""
    docs = _REPOSITORY / "docs"
    source = docs / page.file.src_uri
    at = source.parent
    if include := _INCLUDE.fullmatch(markdown):
        source = _REPOSITORY / include[1]
        markdown = source.read_text()

    def told(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(source.parent / link[2]))
        if target.is_relative_to(docs):
            return f"[{link[1]}]({os.path.relpath(target, at)}{link[3] or ''})"
        return f"{link[1]} (`{target.relative_to(_REPOSITORY)}`)"

    return _LINK.sub(told, markdown)
