"""A process that has imported a library and forks a child for each script: `python nursery.py ours|theirs`.

It reads lines of JSON, `[script, folder]`, runs each script as `__main__` in that folder, where it leaves its output in `stdout` and
`stderr`, and prints the child's exit status. Importing a library takes as long as many a script; nothing has run in this process but
the import, so that a child is as fresh as a new process.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
from collections.abc import Callable


def _child(run: Callable[[str], object], script: str, folder: str) -> None:
    os.chdir(folder)
    for number, name in ((0, os.devnull), (1, "stdout"), (2, "stderr")):
        opened = os.open(name, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, number)
    status = 1
    try:
        run(script)
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _as_python_does(script: str) -> object:
    sys.argv = [script]
    sys.path[0] = os.path.dirname(script)
    return runpy.run_path(script, run_name="__main__")


def main(which: str) -> None:
    if which == "ours":
        ours = importlib.import_module("flambeau.cli.run")
        run: Callable[[str], object] = lambda script: ours.run_script(script, [])  # noqa: E731
    else:
        importlib.import_module("torch")
        run = _as_python_does
    for line in sys.stdin:
        script, folder = json.loads(line)
        child = os.fork()
        if child == 0:
            _child(run, script, folder)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
