"""Runs the Python of pages, as `import torch` under the drop-in: `python run_pages.py FOLDER PAGE...`.

A page is one program: its blocks share names. Where a block of text follows a block of Python, it is what that prints. A block that stands
below `<!-- an excerpt -->` is no program. Says page and line of what fails, and goes on with the next page.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
import traceback
import types
from pathlib import Path

from flambeau import drop_in

_FENCE = re.compile(
    r"^(?P<before><!-- an excerpt -->\n)?```(?P<kind>\w*)[^\n]*\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)


def run(page: Path, name: str) -> list[str]:
    """What is wrong with a page."""
    text = page.read_text(encoding="utf-8")
    module = types.ModuleType("__main__")  # so that classes can be pickled by their names
    module.__dict__["__file__"] = str(page)
    sys.modules["__main__"] = module
    printed: str | None = None
    for fence in _FENCE.finditer(text):
        line = text.count("\n", 0, fence.start("code"))
        if fence["kind"] == "text" and printed is not None and fence["code"].strip() != printed.strip():
            return [f"{name}:{line + 1}: the page says\n{fence['code']}but it is\n{printed}"]
        printed = None
        if fence["kind"] != "python" or fence["before"]:
            continue
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                exec(compile("\n" * line + fence["code"], str(page), "exec"), module.__dict__)
        except BaseException as error:
            frames = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(page)]
            at = frames[0] if frames else getattr(error, "lineno", line + 1)
            return [f"{name}:{at}: {type(error).__name__}: {error}"]
        printed = "\n".join(part.rstrip() for part in out.getvalue().split("\n"))
    return []


def main() -> None:
    drop_in.install()
    root = Path(sys.argv[1]).resolve()
    wrong = []
    for name in sys.argv[2:]:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            wrong += run(root / name, name)
            os.chdir(root)
    print("\n".join(wrong))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
