"""The API reference of the site: pages written from the names, signatures and docstrings of the installed flambeau.

A place with many names has a page for each family of them, and one that lists all. What family a name is of, its home says:
the module that it is written in.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import flambeau


@dataclass(frozen=True)
class Family:
    """Names that stand on one page of a place, and the homes (a regular expression) by which they are known."""

    page: str
    title: str
    homes: str
    source: str = ""  # of this source alone


@dataclass(frozen=True)
class Place:
    """A page or, with families, a folder of pages."""

    title: str
    sources: list[str]
    families: list[Family] = field(default_factory=list)


_TENSORS = [  # the names of torch and the methods of tensors
    Family("creation", "making and converting", r"ops\.making\.(?!quantized)"),
    Family("random", "random numbers", r"ops\.random|core\.context\.generator|random"),
    Family("copies", "copies of views", r"ops\.shape\.copies"),
    Family("shape", "shape, joining, splitting", r"ops\.shape|core\.dispatch\.view"),
    Family("indexing", "indexing and masks", r"ops\.indexing"),
    Family("arithmetic", "arithmetic", r"ops\.elementwise\.(arithmetic|powers|bounds)"),
    Family("comparison", "comparison, logic, bits", r"ops\.elementwise\.(comparison|bitwise)"),
    Family("elementary", "elementary functions", r"ops\.elementwise\.elementary"),
    Family("special", "special functions", r"ops\.elementwise\.(special|bessel|polynomials)"),
    Family("reductions", "sums, statistics, sorting", r"ops\.reduce"),
    Family("linalg", "products and linear algebra", r"ops\.linalg"),
    Family("spectral", "spectra and windows", r"ops\.spectral"),
    Family("sparse", "sparse tensors", r"ops\.sparse"),
    Family("quantized", "quantized numbers", r"ops\.making\.quantized|ops\.layers\.fake_quantization"),
    Family("kernels", "layers by their kernels' names", r"ops\.layers\.(kernel_forms|native_forms|aten_\w+)"),
    Family("activation", "activations, dropout, normalization", r"ops\.layers\.(activation|dropout|normalization)"),
    Family("layers", "layers as functions", r"ops\.layers"),
]
_TORCH = [
    *_TENSORS,
    Family(
        "gradients",
        "gradients, autocast, compile",
        r"(core\.context\.grad_mode|autograd|amp|compiler|func|_higher_order_ops)\b",
    ),
    Family(
        "types", "types and classes", r"(core\.(array|tensor)|storage|cuda|futures|jit|testing|torch)\b|torch|_symbols"
    ),
    Family("settings", "settings, files and the rest", r""),
]
_METHODS = [
    Family("attributes", "attributes", r"property"),
    *_TENSORS,
    Family("memory", "gradients, memory and the rest", r""),
]
_LAYERS = [
    Family("utils", "utils: clipping, fusing, norms of weights", r"", source="flambeau.nn.utils"),
    Family(
        "containers", "modules, containers, parameters", r"nn\.modules\.(module|container)|nn\.(parameter|parallel)|nn$"
    ),
    Family("convolution", "convolution and padding", r"nn\.modules\.(conv|padding|fold)$"),
    Family("pooling", "pooling and resampling", r"nn\.modules\.(pooling|upsampling|pixelshuffle|channelshuffle)"),
    Family("activation", "activations", r"nn\.modules\.activation"),
    Family(
        "normalization", "normalization and dropout", r"nn\.modules\.(batchnorm|instancenorm|normalization|dropout)"
    ),
    Family("losses", "losses and distances", r"nn\.modules\.(loss|distance|adaptive|linear_cross_entropy)"),
    Family("linear", "linear, recurrent, transformers, embeddings", r""),
]
_FUNCTIONS = [
    Family("init", "torch.nn.init", r"", source="flambeau.nn.init"),
    Family("convolution", "convolution and pooling", r"ops\.layers\.(convolution|pooling|padding)"),
    Family("activation", "activations", r"ops\.layers\.activation|ops\.elementwise|nn\.functional"),
    Family("losses", "losses and distances", r"ops\.layers\.(\w*loss|ctc|linear_cross_entropy)"),
    Family("layers", "linear, attention, normalization and the rest", r""),
]
PLACES: dict[str, Place] = {
    "flambeau": Place("flambeau's own", ["flambeau:own"]),
    "torch": Place("torch", ["flambeau"], _TORCH),
    "tensor": Place("torch.Tensor", ["flambeau.Tensor"], _METHODS),
    "nn": Place("torch.nn", ["flambeau.nn", "flambeau.nn.parameter", "flambeau.nn.utils"], _LAYERS),
    "functional": Place("torch.nn.functional", ["flambeau.nn.functional", "flambeau.nn.init"], _FUNCTIONS),
    "optim": Place("torch.optim", ["flambeau.optim", "flambeau.optim.lr_scheduler", "flambeau.optim.swa_utils"]),
    "data": Place("torch.utils.data", ["flambeau.utils.data", "flambeau.utils.checkpoint"]),
    "autograd": Place(
        "torch.autograd, torch.func", ["flambeau.autograd", "flambeau.autograd.functional", "flambeau.func"]
    ),
    "linalg": Place("torch.linalg", ["flambeau.linalg"]),
    "fft": Place("torch.fft", ["flambeau.fft"]),
    "special": Place("torch.special", ["flambeau.special"]),
    "distributions": Place(
        "torch.distributions",
        ["flambeau.distributions"],
        [
            Family("transforms", "transforms and divergences", r"distributions\.(transforms|constraint_registry|kl)"),
            Family("distributions", "distributions", r""),
        ],
    ),
    "distributed": Place(
        "torch.distributed",
        ["flambeau.distributed", "flambeau.parallel"],
        [
            Family("groups", "groups, stores, options", r"processes\.(groups|stores|options|errors|rendezvous)"),
            Family("collectives", "collectives and the rest", r""),
        ],
    ),
}
_OWN = "plot summary jax_function load_exported show_config LoadReport".split()


Entry = tuple[str, str, Any]  # source, name, value


def navigation() -> list[Any]:
    """The part of the site's menu that leads to these pages."""
    menu: list[Any] = ["api/index.md"]
    for name, place in PLACES.items():
        pages: Any = f"api/{name}.md"
        if place.families:
            titled = [{_capital(family.title): f"api/{name}/{family.page}.md"} for family in _by_family(place)]
            pages = [f"api/{name}/index.md", *titled]
        menu.append({place.title: pages})
    return menu


def pages() -> Iterator[tuple[str, str]]:
    """(address, text) of each page."""
    rows = []
    for name, place in PLACES.items():
        address = f"{name}/index.md" if place.families else f"{name}.md"
        rows.append(f"| [{place.title}]({address}) | {', '.join(f'`{_torch_name(s)}`' for s in place.sources)} |")
        if not place.families:
            entries = [(s, label, value) for s in place.sources for label, value in _names(s)]
            yield f"api/{name}.md", _page(place.title, place.sources, entries)
            continue
        families = _by_family(place)
        yield f"api/{name}/index.md", _index(place, families)
        for family, entries in families.items():
            title = family.title if "torch." in family.title else f"{place.title}: {family.title}"
            yield f"api/{name}/{family.page}.md", _page(title, place.sources, entries)
    head = (
        "# API reference\n\nNames, defaults and results are PyTorch 2.13's; where they are not, "
        "[Differences](../differences.md) says so. The pages are written from the code.\n\n| page | names of |\n|---|---|\n"
    )
    yield "api/index.md", head + "\n".join(rows) + "\n"


def _page(title: str, sources: list[str], entries: list[Entry]) -> str:
    parts = [f"# {title}\n"]
    for source in sources:
        own = [_entry(*entry) for entry in entries if entry[0] == source]
        if own and len({entry[0] for entry in entries}) > 1:
            parts.append(f"## {_torch_name(source)}\n")
        parts += own
    return "\n".join(parts)


def _index(place: Place, families: dict[Family, list[Entry]]) -> str:
    """All names of a place, family by family; a link to a name that knows of no families ends here, at the name."""
    parts = [f"# {place.title}\n"]
    for family, entries in families.items():
        parts.append(f"## [{_capital(family.title)}]({family.page}.md)\n")
        anchors = [(f"{_torch_name(source)}.{label}", label) for source, label, _ in entries]
        parts.append(
            " ".join(f"[`{label}`]({family.page}.md#{anchor}){{ #{anchor} }}" for anchor, label in anchors) + "\n"
        )
    return "\n".join(parts)


def _capital(title: str) -> str:
    return title if title.startswith("torch") else title[:1].upper() + title[1:]


def _by_family(place: Place) -> dict[Family, list[Entry]]:
    """The names of a place, of each family that has some."""
    found: dict[Family, list[Entry]] = {family: [] for family in place.families}
    for source in place.sources:
        for label, value in _names(source):
            home = _home(source, label, value)
            family = next(
                f for f in place.families if f.source in ("", source) and re.match(rf"(?:{f.homes})", home) is not None
            )
            found[family].append((source, label, value))
    return {family: entries for family, entries in found.items() if entries}


def _home(source: str, name: str, value: Any) -> str:
    """The module that a name is written in; what works in place lives where its other form does."""
    if isinstance(value, property):
        return "property"
    partner = getattr(_place(source), name[:-1], None) if re.search(r"[^_]_$", name) else None
    written = getattr(inspect.unwrap(value if partner is None else partner), "__module__", "") or ""
    return written.removeprefix("flambeau.")


def _torch_name(source: str) -> str:
    return (
        "flambeau"
        if source == "flambeau:own"
        else source.replace("flambeau", "torch", 1)
        if ".parallel" not in source
        else source
    )


def _names(source: str) -> Iterator[tuple[str, Any]]:
    """The public functions and classes of a place, in the order of the alphabet."""
    if source == "flambeau:own":
        yield from ((name, getattr(flambeau, name)) for name in _OWN)
        return
    place = _place(source)
    listed = getattr(place, "__all__", None) if source.count(".") and isinstance(place, ModuleType) else None
    for name in sorted(listed or dir(place), key=str.lower):
        value = inspect.getattr_static(place, name, None) if isinstance(place, type) else getattr(place, name, None)
        known = callable(value) or isinstance(value, property)
        ours = str(getattr(value, "__module__", "flambeau")).split(".")[0] in ("flambeau", "torch", "builtins")
        if not name.startswith("_") and known and ours and not isinstance(value, ModuleType) and inspect.getdoc(value):
            yield name, value


def _place(source: str) -> Any:
    place: Any = flambeau
    for part in source.split(".")[1:]:
        place = getattr(place, part)
    return place


def _entry(source: str, name: str, value: Any) -> str:
    """One name: a heading, its signature, its docstring."""
    place = _torch_name(source)
    kind = "class " if isinstance(value, type) else ""
    shown = f"{place}.{name}" if place != "torch.Tensor" else f"Tensor.{name}"
    described = value
    if place == "torch.Tensor" and name.endswith("_"):  # writes in place what the method without the stroke computes
        described = inspect.getattr_static(flambeau.Tensor, name[:-1], value)
    signature = "" if isinstance(value, property) else _signature(described, place == "torch.Tensor")
    return f"### {name} {{ #{place}.{name} .api }}\n\n```python\n{kind}{shown}{signature}\n```\n\n{_markdown(inspect.getdoc(value) or '')}\n"


def _signature(value: Any, method: bool) -> str:
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return "(...)"
    given = list(signature.parameters.values())[1 if method else 0 :]
    parts: list[str] = []
    for before, parameter in zip([None, *given], given, strict=False):
        if parameter.kind is parameter.KEYWORD_ONLY and (before is None or before.kind < parameter.VAR_POSITIONAL):
            parts.append("*")
        star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        kind = _annotation(parameter.annotation)
        text = f"{star}{parameter.name}{f': {kind}' if kind else ''}"
        if parameter.default is not parameter.empty:
            text += f" = {parameter.default!r}" if kind else f"={parameter.default!r}"
        parts.append(re.sub(r"<function (\w+) at [^>]*>", r"\1", text))
    result = _annotation(signature.return_annotation)
    end = f") -> {result}" if result not in ("", "None") else ")"
    line = f"({', '.join(parts)}{end}"
    return line if len(line) < 84 else "(\n    " + ",\n    ".join(parts) + f",\n{end}"


def _annotation(kind: Any) -> str:
    """An annotation as a reader knows it: what an operator's function gets as arrays, its caller gives as tensors."""
    if kind is inspect.Parameter.empty:
        return ""
    text = kind if isinstance(kind, str) else inspect.formatannotation(kind)
    return re.sub(
        r"Static\[(.*)\]$",
        r"\1",
        re.sub(r"\bArrays\b", "Sequence[Tensor]", re.sub(r"(?<!\.)\bArray\b", "Tensor", text)),
    )


def _markdown(text: str) -> str:
    """A docstring as markdown: examples become code, a line that begins with spaces keeps its place, the rest flows."""
    out: list[str] = []
    for block in re.split(r"\n\s*\n", textwrap.dedent(text).strip()):
        lines = block.split("\n")
        if page := re.fullmatch(r"PyTorch: (https://\S+)", block.strip()):
            out.append(f"[PyTorch's page]({page[1]})")
        elif any(line.lstrip().startswith(">>>") for line in lines):
            first = next(i for i, line in enumerate(lines) if line.lstrip().startswith(">>>"))
            out += ["**Example**" if lines[:first] == ["Example:"] else _flow(lines[:first])] if first else []
            out.append("```pycon\n" + textwrap.dedent("\n".join(lines[first:])) + "\n```")
        elif (
            len(lines) > 1
            and re.fullmatch(r"[A-Z][a-z]+:", lines[0])
            and all(line.startswith("    ") for line in lines[1:])
        ):
            out.append("\n".join([f"**{lines[0][:-1]}**\n", *(f"- {_flow([line])}" for line in lines[1:])]))
        elif any(line.startswith("    ") for line in lines[:1]):
            out.append("```text\n" + textwrap.dedent(block) + "\n```")
        else:
            out.append(_flow(lines))
    return "\n\n".join(out)


def _flow(lines: list[str]) -> str:
    joined = "\n".join(line.strip() if not re.match(r"\s*[-*] ", line) else line for line in lines)
    pieces = re.split(r"(`[^`]*`)", joined)
    plain = (p.replace("<", "&lt;") if not p.startswith("`") else p for p in pieces)  # Markdown knows no \\<
    return "".join(p if p.startswith("`") else re.sub(r"([*_\[\]])", r"\\\1", p) for p in plain)
