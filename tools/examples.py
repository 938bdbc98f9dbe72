"""Runs the examples of `help()`: `python tools/examples.py` writes what they print into `src/flambeau/core/dispatch/examples.txt`.

A section (`== names`) is a session, of which one writes the lines that are typed (`>>>`, `...`); results are what running gives. The last line is
a call with a mistake, with its error: one of those that `families.txt` names, if none is written, unless nothing can go wrong. `--check` says what is
not current, `--missing` for what public functions and classes there is no example. Names after it restrict it to these.
A docstring may hold its example itself (behind `Example:`): it is checked, too.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import io
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

from options import CHECK, asked

import flambeau
from flambeau import nn
from flambeau.core.dispatch import families
from flambeau.core.dispatch.help import Told
from flambeau.core.dispatch.publishing import namespaces

EXAMPLES = Path(families.__file__).parent / "examples.txt"
CLASSES = {
    "nn": nn,
    "optim": flambeau.optim,
    "optim.lr_scheduler": flambeau.optim.lr_scheduler,
    "distributions": flambeau.distributions,
    "utils.data": flambeau.utils.data,
}
FUNCTIONS = {
    "nn.init": nn.init,
    "nn.utils": nn.utils,
    "func": flambeau.func,
    "distributions": flambeau.distributions,
    "utils.data": flambeau.utils.data,
}
# namespaces in which `explain_namespace` explains what is public: what stands in several has the name of the first
EXPLAINED = (
    "distributed", "utils.checkpoint", "autograd", "autograd.functional", "autograd.graph", "autograd.forward_ad", "autograd.profiler",
    "optim.swa_utils", "nn.parallel", "nn.utils.rnn", "nn.utils.parametrize", "nn.utils.parametrizations", "nn.utils.prune",
    "amp", "nested", "masked", "futures", "sparse", "library", "jit", "fx", "cuda", "compiler", "export", "",
    "nn.parameter", "nn.attention", "overrides", "utils.data", "multiprocessing", "hub", "package", "profiler", "accelerator", "onnx",
    "backends.cpu", "backends.cuda", "backends.cudnn", "backends.cusparselt", "backends.kleidiai", "backends.mha", "backends.mkl",
    "backends.mkldnn", "backends.mps", "backends.nnpack", "backends.openmp", "backends.opt_einsum",
)  # fmt: skip
TRACEBACK = "Traceback (most recent call last):"
# what PyTorch does not describe to users either: the forms of its kernels
_KERNELS = (
    "layers.kernel_forms",
    "layers.native_forms",
    "layers.aten_forms",
    "making.quantized",
    "layers.packing",
    "layers.fake_quantization",
)


def module_of(function: Any) -> str:
    """The module that a function is written in, without `flambeau.ops.`."""
    return (inspect.unwrap(function).__module__ or "").removeprefix("flambeau.").removeprefix("ops.")


def public() -> Iterator[tuple[str, Any]]:
    """(public name, what has it) of all functions, layers, optimizers and schedules that users are told of."""
    for namespace, held in namespaces.items():
        for name, function in held.items():
            if not name.startswith("_") and inspect.isfunction(function) and module_of(function) not in _KERNELS:
                yield f"torch.{name}" if namespace == "torch" else f"torch.{namespace}.{name}", function
    for namespace, home in CLASSES.items():
        for name, cls in vars(home).items():
            public = f"torch.{namespace}.{name}"
            told = inspect.isclass(cls) and not name.startswith("_") and "PyTorch: " in (cls.__doc__ or "")
            if told and getattr(cls.__doc__, "public", public) == public:
                yield public, cls
    for namespace, home in FUNCTIONS.items():
        for name, function in vars(home).items():
            told = function.__doc__ if inspect.isfunction(function) else None
            if not name.startswith("_") and isinstance(told, Told) and told.public != f"torch.{name}":
                yield f"torch.{namespace}.{name}", function
    for namespace in EXPLAINED:
        home = importlib.import_module(f"flambeau.{namespace}".rstrip("."))
        operators = namespaces.get(namespace or "torch", {})
        for name in dir(home):
            it = None if name.startswith("_") or name in operators else getattr(home, name, None)
            told = it.__doc__ if isinstance(it, (type, FunctionType)) else None
            if isinstance(told, Told) and told.public == f"torch.{namespace}.{name}".replace("..", "."):
                yield told.public, it


def methods() -> Iterator[tuple[str, Any]]:
    """(public name, method) of classes whose methods explain themselves: each under the class that its text is of."""
    places = {
        **CLASSES,
        "optim.swa_utils": flambeau.optim.swa_utils,
        "distributions.constraints": flambeau.distributions.constraints,
    }
    for namespace, home in places.items():
        for cls in [it for it in vars(home).values() if inspect.isclass(it)]:
            for name in dir(cls):
                method = getattr(cls, name, None)
                public = getattr(getattr(method, "__doc__", None), "public", "")
                if inspect.isroutine(method) and public == f"torch.{namespace}.{cls.__name__}.{name}":
                    yield public, method


def typed(lines: list[str]) -> list[str]:
    """The statements of a session."""
    found: list[str] = []
    for line in lines:
        if line.startswith(">>> "):
            found.append(line[4:])
        elif line.startswith("..."):
            found[-1] += "\n" + line[4:]
    return found


def error_lines(error: BaseException) -> list[str]:
    """An error as a session shows it: its type and the first line of its text."""
    text = (str(error).splitlines() or [""])[0].rstrip()
    return [TRACEBACK, f"{type(error).__name__}: {text}" if text else type(error).__name__]


def printed(statement: str, names: dict[str, Any]) -> tuple[list[str], BaseException | None]:
    """What a statement prints, and the error that it raises."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            tree = ast.parse(statement)
            exec(compile(ast.Interactive(tree.body), "<example>", "single"), names)
        except Exception as error:
            return error_lines(error), error
    return [line.rstrip() or "<BLANKLINE>" for line in out.getvalue().splitlines()], None


def start() -> dict[str, Any]:
    """The names that an example begins with."""
    flambeau.manual_seed(0)
    return {"torch": flambeau, "nn": nn, "F": nn.functional, "__name__": "example"}


def session(name: str, lines: list[str], function: Any) -> list[str]:
    """The section's lines as running it gives them."""
    names, found, failed = start(), [], None
    for statement in typed(lines):
        result, failed = printed(statement, names)
        first, *rest = statement.split("\n")
        found += [f">>> {first}", *(f"... {line}".rstrip() for line in rest), *result]
        if failed is not None and statement != typed(lines)[-1]:
            print(f"{name}: {statement}: {type(failed).__name__}: {failed}")
    if failed is None and function is not None:
        found += mistake(name, function)
    return found


def mistake(name: str, function: Any) -> list[str]:
    """The first of the family's wrong calls that raises what the family says."""
    family = families.family_of(function, name)
    tried = []
    if family and any("nothing" in error.types for error in family.errors):
        return []
    for error in family.errors if family else ():
        for call in error.calls:
            text = families.filled(call, name)
            result, raised = printed(text, start())
            if raised is not None and type(raised).__name__ in error.types:
                return [f">>> {text}", *result]
            tried.append(f"{text}: {type(raised).__name__}: {raised}"[:150])
    print(f"{name}: none of its family's calls raises as said: {tried}")
    return []


def of_docstring(function: Any) -> list[str]:
    """The example that the docstring as it is written holds; `str.__str__` leaves out what completes it."""
    return families.own_example(str.__str__(function.__doc__ or ""))


def main() -> int:
    """Write the file, or check it."""
    given = asked(
        __doc__, check=CHECK, missing="say which public names have no example", names="restrict it to these names"
    )
    warnings.simplefilter("ignore")
    flambeau.set_printoptions(profile="default")
    functions = {**dict(public()), **dict(methods())}
    if given.missing:
        lacking = [name for name, it in functions.items() if not (families.example_of(name) or of_docstring(it))]
        print(*lacking, sep="\n")
        return bool(lacking)
    only = set(given.names)
    before = EXAMPLES.read_text("utf-8")
    head = before[: before.find("== ")]
    written, stale = [head.rstrip() + "\n"], 0
    for names, lines in families.blocks(EXAMPLES.name, "== "):
        if not only or only & set(names):
            name = f"torch.{names[0]}"
            new = session(name, lines, functions.get(name))
            if new != lines:
                stale += 1
                if given.check:
                    print(f"{names[0]}:", *new, sep="\n")
            lines = new
        written.append("\n".join([f"== {' '.join(names)}", *lines, ""]))
    for name, function in functions.items():
        lines = of_docstring(function)
        if (not only or name.removeprefix("torch.") in only) and lines != (new := session(name, lines, None)):
            stale += 1
            print(f"{name}, in its docstring:", *new, sep="\n")
    if not given.check:
        EXAMPLES.write_text("\n".join(written).rstrip() + "\n", "utf-8")
    return bool(stale) if given.check else 0


if __name__ == "__main__":
    sys.exit(main())
