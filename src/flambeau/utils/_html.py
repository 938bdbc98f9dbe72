"""How tensors, modules, summaries and load reports look in a notebook.

Colours are shades of grey that let the page's own colour through, so that both light and dark pages do; every text is escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any

import numpy as np

from flambeau.core.array import printing
from flambeau.core.array.formats import strided
from flambeau.core.tensor.tensor import Tensor
from flambeau.nn.modules.module import Module
from flambeau.nn.parameter import Parameter, is_lazy

_STYLE = (
    "<style>.flambeau{font:13px ui-monospace,monospace;color:inherit}"
    ".flambeau :is(table,pre){border-collapse:collapse;font:inherit;color:inherit;margin:2px 0}"
    ".flambeau :is(th,td){border:1px solid rgba(128,128,128,.35);padding:2px 8px;text-align:right;background:none}"
    ".flambeau .name{text-align:left!important}.flambeau th{background:rgba(128,128,128,.15)}"
    ".flambeau :is(details,div.leaf){margin-left:1.2em}.flambeau summary{cursor:pointer;margin-left:-1.1em}"
    ".flambeau .dim{opacity:.65}</style>"
)
_OPEN_LEVELS = 2  # of a tree of modules; the others are folded at first


def page(content: str) -> str:
    """A piece of HTML with its style."""
    return f'{_STYLE}<div class="flambeau">{content}</div>'


def _dim(text: str) -> str:
    return f'<span class="dim">{escape(text)}</span>'


def _shape(shape: Iterable[int]) -> str:
    return "×".join(map(str, shape)) or "scalar"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], names: int = 1, foot: Sequence[str] = ()) -> str:
    """A table of texts, of whose columns the first `names` are to the left."""

    def line(cells: Sequence[str], kind: str = "td") -> str:
        marks = [' class="name"' if i < names else "" for i in range(len(cells))]
        parts = (f"<{kind}{mark}>{escape(cell)}</{kind}>" for cell, mark in zip(cells, marks, strict=True))
        return f"<tr>{''.join(parts)}</tr>"

    body = "".join(map(line, rows)) + (line(foot, "th") if foot else "")
    return f"<table><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table>"


# --- tensors ----------------------------------------------------------------------------------------------------------


def tensor(value: Tensor) -> str | None:
    """A vector or a matrix as a table, more dimensions as the text that is printed. None where there are no values to show."""
    if type(value) not in (Tensor, Parameter) or is_lazy(value):
        return None  # a subclass, which prints as it pleases
    if value.layout is not strided or value.device.type == "meta":
        return None
    about = f"{_shape(value.shape)} {str(value.dtype).rpartition('.')[2]}, {value.device}"
    about += ", requires_grad" if value.requires_grad else ""
    head = f"<div><b>{type(value).__name__}</b> {_dim(about)}</div>"
    if value.ndim not in (1, 2) or not value.numel():
        return page(f"{head}<pre>{escape(repr(value))}</pre>")
    array = np.asarray(value.detach().cpu()._array)
    return page(head + _values(array.reshape(-1, array.shape[-1]), value.dtype, value.ndim == 2))


def _values(array: np.ndarray, dtype: Any, numbered: bool) -> str:
    """The values in rows and columns, of which the first and last ones are shown if there are many."""
    edge = max(2 * printing.get_printoptions()["edgeitems"], 1)
    places = [list(range(n)) if n <= 2 * edge else [*range(edge), None, *range(n - edge, n)] for n in array.shape]
    shown = array[np.ix_(*([i for i in side if i is not None] for side in places))]
    text, _ = printing._formatter(shown, dtype)
    texts = iter(text(v).strip() for v in shown.ravel().tolist())

    def label(place: int | None) -> str:
        return "…" if place is None else str(place)

    rows = []
    for i in places[0]:
        cells = ["…" if None in (i, j) else next(texts) for j in places[1]]
        rows.append([label(i), *cells] if numbered else cells)
    return table([*([""] if numbered else []), *map(label, places[1])], rows, names=int(numbered))


# --- modules ----------------------------------------------------------------------------------------------------------


def module(value: Module) -> str:
    """A tree that folds: a line for each module, with its parameters; equal neighbours share one."""
    return page(_branch("", value, 0))


def _branch(name: str, value: Any, level: int) -> str:
    if not isinstance(value, Module):
        return f'<div class="leaf">{escape(name)} {_dim(str(value))}</div>'
    own = ", ".join(f"{key} {_size(held)}" for key, held in value._parameters.items() if held is not None)
    extra = value.extra_repr().replace("\n", ", ")
    line = f"{_dim(name)} <b>{escape(value._get_name())}</b>({escape(extra)}) {_dim(own)}"
    if not value._modules:
        return f'<div class="leaf">{line}</div>'
    inside = "".join(_branch(label, child, level + 1) for label, child in _joined(list(value._modules.items())))
    count = sum(p.numel() for p in value.parameters() if not is_lazy(p))
    state = ' open=""' if level < _OPEN_LEVELS else ""
    return f"<details{state}><summary>{line} {_dim(f'({count:,} parameters)')}</summary>{inside}</details>"


def _size(held: Tensor) -> str:
    return "not initialised" if is_lazy(held) else _shape(held.shape)


def _joined(children: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Children with their labels; of neighbours that print alike only the first."""
    found: list[tuple[list[str], Any, str]] = []
    for key, child in children:
        text = repr(child)
        if found and found[-1][2] == text and key.isdigit():
            found[-1][0].append(key)
        else:
            found.append(([key], child, text))
    return [
        (f"({keys[0]})" if len(keys) == 1 else f"({keys[0]}-{keys[-1]}) {len(keys)} ×", child)
        for keys, child, _ in found
    ]


# --- reports ----------------------------------------------------------------------------------------------------------


def load_report(value: Any) -> str:
    """What `load_state_dict` found on one side only."""
    missing, unexpected = value
    if not missing and not unexpected:
        return page("<div>All keys matched successfully</div>")
    rows = [*(("missing in the state dict", key) for key in missing), *(("unexpected", key) for key in unexpected)]
    return page(table(("What", "Key"), rows, names=2))


VIEWS: dict[str, Callable[[Any], str | None]] = {"Tensor": tensor, "Module": module, "LoadReport": load_report}


def view(kind: str, value: Any) -> str | None:
    """The HTML of a value that is of this kind. None lets the notebook show what is printed."""
    return VIEWS[kind](value)
