"""Draws docs/architecture.svg from the real imports: `python tools/architecture.py`; `--check` only says whether it is current.

Floors and rooms are those of the import contracts in pyproject.toml, the numbers are files, and an arrow is as wide as the
imports are many that it stands for.
"""

from __future__ import annotations

import sys
import tomllib
from collections import Counter
from pathlib import Path
from xml.sax.saxutils import escape

import grimp
from options import CHECK, asked

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "architecture.svg"
LEFT, ROW, HEIGHT, ROOM = 250, 66, 42, 112


def floors_and_rooms() -> tuple[list[list[str]], dict[str, list[str]]]:
    """The floors from top to bottom, each a list of packages that stand side by side, and the rooms of those that have them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    floors = [layer.replace(" ", "").split(":") for layer in contracts[0]["layers"]]
    return floors, {c["containers"][0]: c["layers"] for c in contracts[1:] if "containers" in c}


def home(module: str, packages: list[str]) -> str | None:
    """The package of the list that holds a module."""
    return next((p for p in packages if module == p or module.startswith(p + ".")), None)


def drawing() -> str:
    floors, rooms = floors_and_rooms()
    packages = [p for floor in floors for p in floor]
    graph = grimp.build_graph("flambeau", cache_dir=None)
    arrows: Counter[tuple[str, str]] = Counter()
    for module in sorted(graph.modules):
        for other in graph.find_modules_directly_imported_by(module):
            ends = home(module, packages), home(other, packages)
            if ends[0] and ends[1] and ends[0] != ends[1]:
                arrows[ends[0], ends[1]] += 1
    row = {p: i for i, floor in enumerate(floors) for p in floor}
    width = LEFT + 40 + ROOM * max(len(r) for r in rooms.values())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {len(floors) * ROW + 20}" font-family="sans-serif" '
        'font-size="12">',
        "<title>The floors of flambeau: whoever stands higher imports from those below</title>",
    ]
    for (above, below), count in sorted(arrows.items(), key=lambda a: (row[a[0][0]], row[a[0][1]])):
        parts.append(_arrow(row[above], row[below], count, f"{above} imports {below}: {count}"))
    for i, floor in enumerate(floors):
        parts.append(
            _box(LEFT, 10 + i * ROW, width - LEFT - 10, " · ".join(_name(p) for p in floor), _files(graph, *floor))
        )
        for j, room in enumerate(reversed(rooms.get(floor[0], []))):
            count = _files(graph, f"{floor[0]}.{room}")
            parts.append(
                f'<text x="{LEFT + 12 + j * ROOM}" y="{10 + i * ROW + 33}" fill="#555">{escape(room)} ({count})</text>'
            )
    return "\n".join([*parts, "</svg>", ""])


def _name(package: str) -> str:
    return package.removeprefix("flambeau.")


def _files(graph: grimp.ImportGraph, *packages: str) -> int:
    return sum(
        1 for m in graph.modules if home(m, list(packages)) and not (ROOT / "src" / m.replace(".", "/")).is_dir()
    )


def _box(x: int, y: int, width: int, title: str, files: int) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{HEIGHT}" rx="5" fill="#fff7ec" stroke="#d9822b"/>'
        f'<text x="{x + 12}" y="{y + 17}" font-weight="bold">{escape(title)}</text>'
        f'<text x="{x + width - 12}" y="{y + 17}" text-anchor="end" fill="#555">{files} files</text>'
    )


def _arrow(above: int, below: int, count: int, title: str) -> str:
    """A bow on the left from one floor down to another."""
    y0, y1 = 10 + above * ROW + HEIGHT / 2, 10 + below * ROW + HEIGHT / 2
    bow = LEFT - 18 * (below - above) - 10
    thick = 0.6 + min(count, 120) / 24
    return (
        f'<path d="M{LEFT} {y0:g} C{bow} {y0:g} {bow} {y1:g} {LEFT} {y1:g}" fill="none" stroke="#7a8ba3" stroke-opacity="0.6" '
        f'stroke-width="{thick:.2f}"><title>{escape(title)}</title></path>'
    )


def main() -> int:
    check = asked(__doc__, check=CHECK).check
    made = drawing()
    if check:
        current = PICTURE.exists() and PICTURE.read_text() == made
        print(
            "docs/architecture.svg is current" if current else "docs/architecture.svg is old: run tools/architecture.py"
        )
        return 0 if current else 1
    PICTURE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
