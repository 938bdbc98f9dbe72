"""What is drawn as one box: modules down to a depth, equal ones in a row as one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from flambeau.utils.plot.record import Call, Recorded

_SIGNS = {
    **dict.fromkeys(("add", "add_", "__add__", "__iadd__", "__radd__"), "+"),
    **dict.fromkeys(("sub", "sub_", "subtract", "__rsub__"), "−"),
    **dict.fromkeys(("mul", "mul_", "multiply"), "×"),
    **dict.fromkeys(("div", "div_", "true_divide", "__truediv__"), "÷"),
    **dict.fromkeys(("matmul", "bmm", "mm", "__matmul__"), "@"),
}
_KINDS = {
    "conv": ("conv",),
    "linear": ("linear", "bilinear", "embedding"),
    "norm": ("norm",),
    "pool": ("pool", "upsample", "unfold", "fold", "pixel"),
    "mix": ("lstm", "gru", "rnn", "attention"),
    "active": (
        "relu", "elu", "sigmoid", "tanh", "softmax", "softplus", "silu", "mish", "swish", "softsign", "glu", "hardtanh", "threshold"
    ),
}  # fmt: skip


@dataclass
class Box:
    """One box: its texts, the values that go in and come out, and the boxes within if it is open."""

    kind: str
    title: str
    name: str = ""
    detail: str = ""
    about: str = ""
    times: int = 1
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    inner: list[Box] = field(default_factory=list)


@dataclass
class Picture:
    """The boxes of the whole network, the values' shapes, and for values of blocks that share a box those of the box."""

    boxes: list[Box]
    shapes: dict[int, str]
    same: dict[int, int]


def blocks(recorded: Recorded, depth: int) -> Picture:
    """The boxes with modules open to `depth` levels, of which 1 is the network itself. ValueError for less."""
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}")
    same: dict[int, int] = {}
    return Picture(_inside(recorded, recorded.root, depth, same), recorded.shapes, same)


def count(picture: Picture) -> int:
    """How many boxes there are, those within others too."""
    return sum(1 + count(Picture(box.inner, {}, {})) for box in picture.boxes)


def deepest(recorded: Recorded) -> int:
    """The depth at which nothing is closed."""

    def levels(call: Call) -> int:
        return 1 + max((levels(inner) for inner in call.calls if inner.is_open), default=0)

    return levels(recorded.root)


def _inside(recorded: Recorded, call: Call, depth: int, same: dict[int, int]) -> list[Box]:
    used = [value for inner in _all(recorded.root) for value in inner.inputs]
    return [_box(recorded, group, depth - 1, same, used) for group in _rows(recorded, call.calls, used)]


def _all(call: Call) -> Iterator[Call]:
    for inner in call.calls:
        yield inner
        yield from _all(inner)


def _leaving(call: Call, used: list[int]) -> list[int]:
    """The values made in a call that others use."""
    if not call.is_open:
        return call.outputs
    inside = [value for inner in _all(call) for value in inner.inputs]
    made = [value for inner in _all(call) for value in inner.outputs]
    return [value for value in dict.fromkeys(made) if used.count(value) > inside.count(value)]


def _rows(recorded: Recorded, calls: list[Call], used: list[int]) -> list[list[Call]]:
    """The calls, those of equal blocks that follow each other in one group."""
    groups: list[list[Call]] = []
    for call in calls:
        if groups and call.is_open and _continues(recorded, groups[-1][-1], call, used):
            groups[-1].append(call)
        else:
            groups.append([call])
    return groups


def _continues(recorded: Recorded, before: Call, call: Call, used: list[int]) -> bool:
    if not before.is_open or _signature(recorded, before) != _signature(recorded, call):
        return False
    handed = _leaving(before, used)
    others = [value for value in call.used() if value not in handed]
    entering = before.used()
    alone = len(handed) == 1 and used.count(handed[0]) == [v for c in _all(call) for v in c.inputs].count(handed[0])
    return alone and all(value in entering for value in others) and len(entering) == len(others) + 1


def _signature(recorded: Recorded, call: Call) -> Any:
    shapes = tuple(recorded.shapes[value] for value in (*call.used(), *call.outputs))
    return call.kind, call.name, call.detail, shapes, tuple(_signature(recorded, inner) for inner in call.calls)


def _box(recorded: Recorded, group: list[Call], depth: int, same: dict[int, int], used: list[int]) -> Box:
    call = group[0]
    box = Box(_kind(call), call.name, inputs=call.used(), outputs=_leaving(call, used), times=len(group))
    for other in group[1:]:
        same.update(zip(_leaving(other, used), box.outputs, strict=True))
    if call.kind == "module" and call.module is not None:
        parameters = sum(p.numel() for p in call.module.parameters())
        keys = [c.path.rpartition(".")[2] for c in group]
        box.name = keys[0] if len(keys) == 1 else f"{keys[0]} … {keys[-1]}"
        box.detail = f"{parameters:,} parameters" if call.is_open else _short(call)
        box.about = f"{call.path}: {call.name}({call.detail}), {parameters:,} parameters"
        if call.is_open and depth >= 1:
            box.inner = _inside(recorded, call, depth, same)
    else:
        index = call.name == "__getitem__"
        box.title = (
            f"[{call.detail.removeprefix('(').removesuffix(')')}]" if index else _SIGNS.get(call.name, call.name)
        )
        box.detail = "" if index else call.detail if len(call.detail) <= 26 else call.detail[:25] + "…"
        box.about = f"{call.path or call.name}{f'({call.detail})' if call.kind == 'function' else ''}"
        if call.kind == "parameter":
            box.detail = recorded.shapes[call.outputs[0]]
    return box


def _kind(call: Call) -> str:
    if call.kind != "module":
        return call.kind
    if call.is_open:
        return "block"
    name = call.name.lower()
    return next((kind for kind, words in _KINDS.items() if any(word in name for word in words)), "layer")


def _short(call: Call) -> str:
    """The numbers of a layer in a few characters."""
    m: Any = call.module
    if hasattr(m, "in_channels") and hasattr(m, "kernel_size"):
        text = f"{m.in_channels}→{m.out_channels}, {'×'.join(map(str, _tuple(m.kernel_size)))}"
        stride = _tuple(m.stride)
        text += f" /{stride[0] if len(set(stride)) == 1 else '×'.join(map(str, stride))}" if set(stride) != {1} else ""
        return text + (f", {m.groups} groups" if getattr(m, "groups", 1) > 1 else "")
    if hasattr(m, "in_features") and hasattr(m, "out_features"):
        return f"{m.in_features}→{m.out_features}"
    if hasattr(m, "embed_dim") and hasattr(m, "num_heads"):
        return f"{m.embed_dim}, {m.num_heads} heads"
    text = call.detail.split(", eps=")[0].replace("kernel_size=", "").replace(", dilation=1, ceil_mode=False", "")
    text = text.replace("inplace=True", "in place").replace(", padding=0", "").replace(", inplace=False", "")
    return text if len(text) <= 26 else text[:25] + "…"


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
