"""Every Python block of the site's pages runs, and prints what the page says."""

import re
from pathlib import Path

from support.process import run

ROOT = Path(__file__).parents[2]
PAGES = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").rglob("*.md") if "```python" in p.read_text())


def test_every_block_runs():
    assert len(PAGES) >= 16 and "docs/zh/topics/layers.md" in PAGES
    done = run(Path(__file__).parent / "run_pages.py", ROOT, *PAGES, check=False)
    assert done.returncode == 0 and not done.stdout.strip(), done.stdout + done.stderr[-2000:]


def test_what_fails_is_told_with_its_line(tmp_path):
    (tmp_path / "a.md").write_text(
        "x\n\n```python\ny = 1\nprint(y)\n```\n\n```text\n1\n```\n\n```python\nprint(y)\nz\n```\n"
    )
    (tmp_path / "b.md").write_text("```python\nprint(2)\n```\n\n```text\n3\n```\n")
    (tmp_path / "c.md").write_text("<!-- an excerpt -->\n```python\nnobody\n```\n")
    done = run(Path(__file__).parent / "run_pages.py", tmp_path, "a.md", "b.md", "c.md", check=False)
    assert done.returncode == 1
    assert done.stdout == "a.md:14: NameError: name 'z' is not defined\nb.md:6: the page says\n3\nbut it is\n2\n\n"


def test_both_languages_have_the_same_pages_and_code():
    docs = ROOT / "docs"
    names = (
        "torch",
        "compile",
        "looking",
        "checkpoints",
        "parallel",
        "scale",
        "jax",
        "errors",
        "packages",
        "differences",
    )
    for page in (*(docs / "topics").glob("*.md"), *(docs / f"{name}.md" for name in names)):
        english, chinese = (_without_words(p.read_text()) for p in (page, docs / "zh" / page.relative_to(docs)))
        assert len(english) >= 6 and english == chinese, page.name


def test_both_languages_tell_the_same_points():
    """A page of the other language lags if a heading or a point of a list is missing there."""
    docs = ROOT / "docs"
    own = {
        "index.md",
        "design.md",
        "inside.md",
        "log.md",
    }  # the first goes its own ways in each, the others are not translated
    pages = [page for page in (*docs.glob("*.md"), *docs.glob("topics/*.md")) if page.name not in own]
    assert len(pages) >= 16
    for page in pages:
        assert _outline(page.read_text()) == _outline((docs / "zh" / page.relative_to(docs)).read_text()), page.name


def test_both_languages_have_as_many_rows_in_each_section():
    docs = ROOT / "docs"
    for name, least in (("differences", 209), ("packages", 80), ("scale", 28)):
        english, chinese = (_rows((docs / folder / f"{name}.md").read_text()) for folder in ("", "zh"))
        assert english == chinese and sum(english) >= least, name


def _rows(page):
    """How many rows of tables stand below each heading."""
    return [
        len(re.findall(r"^\|(?!-)", section, re.MULTILINE)) for section in re.split(r"^#+ ", page, flags=re.MULTILINE)
    ]


def _outline(page):
    return re.findall(
        r"^(?:#+|-|\d+\.)(?= )", re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )


def _without_words(page):
    """What no language changes: blocks of code without their comments, and the rows of tables as their numbers and names."""
    parts = re.findall(r"^```.*?^```$|^\|[^\n]+\|$", page, re.DOTALL | re.MULTILINE)
    return [
        re.sub(r"\s*# .*", "", part) if part[0] == "`" else sorted(re.findall(r"`[^`]+`|\d[\d.,]*\d|\d", part))
        for part in parts
    ]
