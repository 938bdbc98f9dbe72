"""docs/errors.md shows the errors as they are."""

import re
from pathlib import Path

from support.process import run

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_current() -> None:
    done = run(ROOT / "tools" / "errors.py", "--check", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (ROOT / "docs" / "errors.md").read_text()
    told = [part.split("```text\n")[1:] for part in re.split(r"\n##+ ", page)[1:]]
    assert len(told) == 12
    for theirs, ours in told:  # PyTorch's text unbroken, and more
        plain, full = (" ".join(text.partition("```")[0].split()) for text in (theirs, ours))
        assert plain.partition(": ")[2] in full and len(full) > len(plain)
