"""Writes docs/notebooks from the topics' pages: `python tools/notebooks.py`; `--check` only says whether they are current.

Text becomes text, Python becomes cells, and a drawn network becomes the call that draws it (the title of its picture). What a page says is
printed is left out: the notebook prints it.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from options import CHECK, asked

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SOURCES = {"en": DOCS / "topics", "zh": DOCS / "zh" / "topics"}
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PICTURE = re.compile(r"^!\[[^\]]*\]\([^)\s]*(?: \"(?P<call>[^\n]*)\")?\)(?:\{[^}]*\})?$", re.MULTILINE)


def cells(page: str) -> list[dict[str, Any]]:
    """The cells of a page."""
    made: list[tuple[str, str]] = [("code", "%load_ext flambeau")]
    position = 0
    for fence in _FENCE.finditer(page):
        made += _text(page[position : fence.start()])
        position = fence.end()
        if fence[1] == "python":
            made.append(("code", fence[2]))
        elif fence[1] != "text":
            made.append(("markdown", fence[0]))
    made += _text(page[position:])
    return [_cell(i, kind, source.strip("\n")) for i, (kind, source) in enumerate(made)]


def _text(text: str) -> list[tuple[str, str]]:
    calls = [match["call"] for match in _PICTURE.finditer(text) if match["call"]]
    text = _PICTURE.sub("", text)
    text = re.sub(r"\[([^\]]+)\]\(\.\.[^)]*\)", r"\1", text)  # links to other pages lead nowhere from here
    found = [("markdown", re.sub(r"\n{3,}", "\n\n", text))] if text.strip() else []
    return [*(("code", f"import flambeau\n\n{call}") for call in calls), *found]


def _cell(number: int, kind: str, source: str) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "cell_type": kind,
        "id": f"cell-{number}",
        "metadata": {},
        "source": source.splitlines(keepends=True),
    }
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def notebook(page: Path) -> str:
    """A page as the text of a notebook."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    content = {
        "cells": cells(page.read_text(encoding="utf-8")),
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    check, stale = asked(__doc__, check=CHECK).check, []
    for language, folder in SOURCES.items():
        for page in sorted(folder.glob("*.md")):
            path, text = DOCS / "notebooks" / language / f"{page.stem}.ipynb", notebook(page)
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                stale.append(path.relative_to(ROOT).as_posix())
                if not check:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text, encoding="utf-8")
    if stale and check:
        sys.exit(f"not current, run python tools/notebooks.py: {', '.join(stale)}")


if __name__ == "__main__":
    main()
