"""Write `src/flambeau/homes.txt`: in which module PyTorch has what flambeau has written in another one.

PyTorch and flambeau (as torch) are asked in a process each for the module that every public function and class names. Where
the rule of the drop-in (the first component is renamed) gives another one, and the thing can be found in PyTorch's, there is a row.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from options import CHECK, asked

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "src/flambeau/homes.txt"
HEAD = "# torch's module, and what of flambeau's is there (written by tools/homes.py)\n"
_SEEN = """
import importlib, json, sys, warnings
warnings.simplefilter("ignore")
import torch
found = {}
for name in json.loads(sys.stdin.read()):
    try:
        module = importlib.import_module(name)
    except BaseException:
        continue
    for public in dir(module):
        try:
            it = getattr(module, public)
            home = getattr(it, "__module__", None)
            called = getattr(it, "__qualname__" if isinstance(it, type) else "__name__", None)
        except BaseException:
            continue
        if callable(it) and type(home) is type(called) is str and not type(it).__module__.startswith("torch._ops"):
            found[name + "." + public] = [home, called, "", True]
            ADDED
print(json.dumps(found))
"""
_OURS = """home = homes.get(name + "." + public, [""])[0]
            found[name + "." + public] = [home, own := getattr(it, "__qualname__", ""), written_in(it), reached(home, own) is it]"""
_REACHED = """
import functools
from flambeau.core.context.homes import written_in
homes = json.loads(open(sys.argv[1]).read())
@functools.cache
def reached(home, called):
    try:
        return functools.reduce(getattr, called.split("."), importlib.import_module(home))
    except BaseException:
        return None
"""


def modules() -> list[str]:
    """The public modules that flambeau has, by torch's names."""
    from flambeau.drop_in import INSIDE

    files = sorted((ROOT / "src/flambeau").rglob("*.py"))
    names = {".".join(("flambeau", *f.relative_to(ROOT / "src/flambeau").with_suffix("").parts)) for f in files}
    names = {name.removesuffix(".__init__") for name in names}
    public = [n for n in names if not any(part.startswith("_") for part in n.split("."))]
    hidden = tuple(f"{root}." for root in (*INSIDE, "flambeau.vision"))
    return sorted("torch" + n.removeprefix("flambeau") for n in public if not (n + ".").startswith(hidden))


def seen(*command: str) -> dict[str, list]:
    """What a process says of every public name."""
    done = subprocess.run(command, input=json.dumps(modules()), stdout=subprocess.PIPE, text=True, cwd="/", check=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(scratch: Path) -> str:
    """The text of the table."""
    program = scratch / "seen.py"
    program.write_text(_SEEN.replace("ADDED", "pass"))
    torchs = seen(sys.executable, str(program))
    (scratch / "homes.json").write_text(json.dumps({name: row[:2] for name, row in torchs.items()}))
    program.write_text(_SEEN.replace("import torch\n", "import torch\n" + _REACHED).replace("ADDED", _OURS))
    ours = seen(sys.executable, "-m", "flambeau", "run", str(program), str(scratch / "homes.json"))
    rows: dict[str, str] = {}
    for home, called, written, same in (ours[name] for name in sorted(ours, key=lambda name: name.count("."))):
        if not home.startswith("torch") or not written.startswith("flambeau.") or not same:
            continue
        inside = written.startswith(
            ("flambeau.core", "flambeau.ops", "flambeau.checkpoint", "flambeau.runtime", "flambeau.processes")
        )
        if inside or "torch" + written.removeprefix("flambeau") != home:
            rows.setdefault(f"{written.removeprefix('flambeau.')}.{called}", home)
    held = defaultdict(list)
    for place, home in rows.items():
        held[home].append(place)
    return HEAD + "".join(f"{home} {' '.join(sorted(places))}\n" for home, places in sorted(held.items()))


def main() -> None:
    """Write the table, or compare it."""
    import tempfile

    options = asked(__doc__, check=CHECK)
    before = TABLE.read_text()
    if not options.check:
        TABLE.write_text(HEAD)
    with tempfile.TemporaryDirectory() as scratch:
        made = table(Path(scratch))
    if options.check:
        sys.exit(f"{TABLE} is not current: run python tools/homes.py" if made != before else 0)
    TABLE.write_text(made)


if __name__ == "__main__":
    main()
