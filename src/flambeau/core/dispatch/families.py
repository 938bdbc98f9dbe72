"""What a family of functions or classes says in its help: shapes, errors, where it comes from, an example. Read when somebody asks."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..context.homes import written_in
from .glossary import arguments_of, blocks

_PAGES = "https://docs.pytorch.org/docs/stable/"
# PyTorch's page on a namespace whose functions have no page of their own
_ONE_PAGE = {
    "accelerator": "accelerator",
    "amp": "amp",
    "autograd.graph": "autograd",
    "autograd.profiler": "autograd",
    "distributed": "distributed",
    "export": "export",
    "futures": "futures",
    "fx": "fx",
    "hub": "hub",
    "library": "library",
    "masked": "masked",
    "multiprocessing": "multiprocessing",
    "nested": "nested",
    "nn.attention": "nn.attention",
    "onnx": "onnx",
    "optim.swa_utils": "optim",
    "package": "package",
    "profiler": "profiler",
    "utils.checkpoint": "checkpoint",
}
# what PyTorch does not have
_OUR_OWN = {"torch.jax_function", "torch.load_exported", "torch.plot", "torch.summary"}
# namespaces of operators: what has a text in one of them has it in all
_OPERATORS = {
    "",
    "Tensor",
    "fft",
    "linalg",
    "nn",
    "nn.functional",
    "nn.init",
    "optim",
    "optim.lr_scheduler",
    "signal.windows",
    "sparse",
    "special",
}
_SIZES = {"1": "L", "2": "H, W", "3": "D, H, W"}


class Error(NamedTuple):
    """A mistake: the types of the error that it raises, what it is, and calls of which one at least makes it.

    The type `nothing` says why there is no error.
    """

    types: list[str]
    reason: str
    calls: list[str]

    def __str__(self) -> str:
        types = "no error of its own" if self.types == ["nothing"] else " or ".join(self.types)
        return f"{types}: {self.reason}."


class Family(NamedTuple):
    """What the members of a family have in common."""

    shapes: str
    errors: tuple[Error, ...]


@functools.cache
def families() -> dict[str, Family]:
    """The families, by module and by `=` and a function's public name."""
    found: dict[str, Family] = {}
    for names, lines in blocks("families.txt", "@ "):
        shapes, errors = "", []
        for line in lines:
            types, rest = line.split(": ", 1)
            if types == "shapes":
                shapes = rest
            else:
                reason, _, calls = rest.partition(": `")
                errors.append(Error(types.split(), reason, re.findall("`(.*?)`", "`" + calls)))
        for name in names:
            found[name] = Family(shapes or (found[name].shapes if name in found else ""), tuple(errors))
    return found


@functools.cache
def sources() -> dict[str, list[str]]:
    """Formulas and the papers that they are from, by public name."""
    return {name: lines for names, lines in blocks("sources.txt", "@ ") for name in names}


@functools.cache
def examples() -> dict[str, list[str]]:
    """Lines of sessions, by public name. `tools/examples.py` runs them and writes what is printed."""
    return {name: lines for names, lines in blocks("examples.txt", "== ") for name in names}


def _names(public: str) -> Iterator[str]:
    """The names under which something may be spoken of, the most special one first."""
    name = public.removeprefix("torch.").removeprefix("functional.")
    short = name.rpartition(".")[2]
    yield name
    if name.rpartition(".")[0] not in _OPERATORS:
        return
    for other in (short, f"nn.functional.{short}", f"linalg.{short}", f"special.{short}", f"sparse.{short}"):
        if other != name:
            yield other


def _modules(function: Any) -> Iterator[str]:
    while (inner := getattr(function, "__wrapped__", None)) is not None:
        function = inner
    module = written_in(function).removeprefix("flambeau.").removeprefix("ops.")
    while module:
        yield module
        module = module.rpartition(".")[0]


def family_of(function: Any, public: str) -> Family | None:
    """The family of a function or class with this public name. What a family leaves out is as in the wider one."""
    held = families()
    names = [f"={name}" for name in _names(public)]
    keys = names if _is_method(public) else [*names, *_modules(function)]
    if public.endswith("_"):
        keys.append("in-place")
    wider = [held[key] for key in keys if key in held]
    if not wider:
        return None
    shapes = next((family.shapes for family in wider if family.shapes), "")
    return Family(shapes, next((family.errors for family in wider if family.errors), ()))


def _is_method(public: str) -> bool:
    """Whether it is the name of a method, which has nothing in common with what else its module holds."""
    owner = public.rpartition(".")[0].rpartition(".")[2]
    return owner[:1].isupper() and owner != "Tensor"


def filled(text: str, public: str) -> str:
    """A family's text, as it is for one of its members."""
    name = public.removeprefix("torch.")
    found = re.search(r"([123])d", name)
    n = found[1] if found else "2"
    sizes = _SIZES[n]
    words = {
        "f": public.replace("torch.functional.", "torch.").replace("torch.nn.functional.", "F."),
        "n": n,
        "sizes": sizes,
        "outs": ", ".join(f"{size}_out" for size in sizes.split(", ")),
        "eights": ", ".join("8" * int(n)),
        "twos": ", ".join("2" * int(n)),
    }
    return re.sub(r"\{(\w+)\}", lambda match: words[match[1]], text)


def _first(table: dict[str, list[str]], public: str) -> list[str]:
    return next((table[name] for name in _names(public) if name in table), [])


def example_of(public: str) -> list[str]:
    """The lines of the example of what has this public name; none if there is no example."""
    return _first(examples(), public) or (_first(examples(), public[:-1]) if public.endswith("_") else [])


def own_example(own: str) -> list[str]:
    """The lines of the example that a docstring holds itself, behind `Example:`."""
    _, _, rest = inspect.cleandoc(own).partition("\nExample:\n")
    return [line[4:] for line in rest.splitlines() if line.startswith("    ")]


def _part(title: str, lines: Iterable[str]) -> str:
    written = "".join(f"    {line}\n" for line in lines)
    return f"\n{title}:\n{written}" if written else ""


def text_of(function: Any, public: str, of: Any, own: str) -> str:
    """The whole help of a function, or of a class (`of`), whose `__init__` the function is."""
    family = family_of(of or function, public)
    shapes = [filled(family.shapes, public)] if family and family.shapes else []
    errors = [str(error) for error in family.errors] if family else []
    arguments = arguments_of(function, public, of, own)
    if _is_method(public):
        arguments = [line for line in arguments if not line.startswith("self: ")]
    parts = [
        _part("Shapes", shapes),
        _part("Arguments", arguments),
        _part("Raises", errors),
        _part("Formula", _first(sources(), public)),
        "" if own_example(own) else _part("Example", example_of(public)),
    ]
    page = "none, this is flambeau's own" if public in _OUR_OWN else f"{_PAGES}{_page_of(of or function, public)}"
    return f"{inspect.cleandoc(own)}\n{''.join(parts)}\nPyTorch: {page}\n"


def _page_of(what: Any, public: str) -> str:
    """PyTorch's page on it: most have one of their own, some namespaces one for all."""
    if public == "torch.Tensor":
        return "tensors.html"
    namespace = public.removeprefix("torch.").rpartition(".")[0]
    if _is_method(public):
        home, _, cls = namespace.rpartition(".")
        written = f"torch.{written_in(what).removeprefix('flambeau.')}.{cls}.{what.__name__}"
        for place, page, anchor in (
            ("distributions", "distributions", written),
            ("utils.data", "data", written if written_in(what).endswith(".distributed") else public),
            ("optim.swa_utils", "optim", public),
        ):
            if home.startswith(place):
                return f"{page}.html#{anchor}"
        return f"generated/torch.{namespace}.html#{public}"
    one_page = "backends" if namespace.startswith("backends.") else _ONE_PAGE.get(namespace)
    if one_page is not None:
        return f"{one_page}.html#{public}"
    written = f"torch.{written_in(what).removeprefix('flambeau.')}.{public.rpartition('.')[2]}"
    for namespace, page, anchor in (
        ("torch.nn.init.", "nn.init", public),
        ("torch.distributions.", "distributions", written),
        ("torch.utils.data.", "data", written if written_in(what).endswith(".distributed") else public),
    ):
        if public.startswith(namespace):
            return f"{page}.html#{anchor}"
    return f"generated/{public}.html"
