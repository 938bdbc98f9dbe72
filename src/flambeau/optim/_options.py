"""What is asked of optimizers' options: when an optimizer is made, and before each call of a compiled step."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.context.tracing import recorder
from ..core.dispatch.host_numbers import HostNumber
from ..core.dispatch.messages import message
from ..core.tensor.tensor import Tensor


def check_tensor_rate(lr: Any) -> None:
    """ValueError for a learning rate that is a tensor of another size than one element."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")


def check_betas(betas: Any) -> None:
    """ValueError for betas that are out of range, of two kinds or more than two; IndexError for fewer."""
    for i in range(2):
        if not 0.0 <= betas[i] < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {betas[i]}")
    if isinstance(betas[0], Tensor) is not isinstance(betas[1], Tensor):
        raise ValueError(message("betas_mixed"))
    if len(betas) > 2:
        raise ValueError(f"too many values to unpack (expected 2): betas are two numbers, got {betas!r:.80}")


def check_options(lr: Any, betas: Any = None, *, takes_nan: bool = False, **others: Any) -> None:
    """ValueError for a learning rate (a number or a tensor of one element) or another option below 0, or bad betas."""
    check_tensor_rate(lr)
    for name, value in {"learning rate": lr, **others}.items():
        if value < 0.0 if takes_nan else not value >= 0.0:
            what = {"learning rate": name, "eps": "epsilon value"}.get(name, f"{name} value")
            raise ValueError(f"Invalid {what}: {value}")
    if betas is not None:
        check_betas(betas)


def plain(value: Any) -> Any:
    """An option with Python's own numbers, where a compiled function knows where they come from."""
    if isinstance(value, HostNumber):
        return value.plain
    return tuple(map(plain, value)) if type(value) is tuple else value


class Asked:
    """A group's options at each call of a compiled step: asked for before it, and inputs of it."""

    __slots__ = ("answer", "count", "entries", "group", "index", "key", "kind", "optimizer", "scalars", "state")

    def __init__(self, optimizer: Any, index: int, group: dict[str, Any], kind: Any):
        self.optimizer, self.index, self.group, self.kind = optimizer, index, group, kind
        self.answer: Any = None
        self.key: Any = None  # the options that this is the answer to, if their values alone say it
        self.scalars: Any = None
        self.state: Any = optimizer.state
        self.entries: int = -1  # of the state
        self.count: int = -1  # of parameters

    def asked(self) -> Any:
        """What the program was made for: it holds while the options ask for the same update of as many parameters."""
        optimizer, group, state = self.optimizer, self.group, self.state
        if (
            self.key is not None and optimizer.state is state and len(state) == self.entries
            and len(group["params"]) == self.count and optimizer._pick(group) == self.key
        ):  # fmt: skip
            return self.answer  # a small network's step feels the rest
        self.state = state = optimizer.state
        self.entries, self.count = len(state), len(group["params"])
        group = _plain_group(group)
        _, program, self.scalars = optimizer._prepare(self.index, group, self.kind)
        which = [id(v) for v in self.scalars if isinstance(v, Tensor)] if isinstance(self.scalars, list) else None
        known = optimizer._prepared.get(self.index if self.kind is None else (self.index, self.kind))
        lasts = known is not None and known[1][2] is self.scalars and recorder() is None  # no numbers of a trace
        self.key = known[0] if known is not None and lasts else None
        self.answer = program, which, id(state), self.entries, self.count
        return self.answer

    def parts(self) -> list[tuple[Any, Any, Any]]:
        """What stays the same object while the answer and its numbers do: (where, the attribute or entry, the object)."""
        if self.key is None:
            return []
        names = (*self.optimizer.scalars, *self.optimizer.flags)
        held = [
            (self, "scalars", self.scalars),
            (self.optimizer, "state", self.state),
            (self.state, None, self.entries),
        ]
        return [*held, *((self.group, name, value) for name, value in zip(names, self.key, strict=True))]

    def values(self) -> Any:
        """The numbers, as they were when the program was last asked whether it holds."""
        if self.scalars is None:
            self.asked()
        return self.scalars

    def numbers(self) -> Any:
        """The options that are numbers; tensors are state."""
        return _numbers(self.values())


def _plain_group(group: dict[str, Any]) -> dict[str, Any]:
    held = recorder() is not None and any(isinstance(value, HostNumber) for value in group.values())
    return {name: plain(value) for name, value in group.items()} if held else group


def _numbers(scalars: Any) -> np.ndarray:
    """The options that are numbers, in an array with zeros for those that are tensors."""
    plain = scalars if isinstance(scalars, np.ndarray) else [0.0 if isinstance(v, Tensor) else v for v in scalars]
    return np.asarray(plain, np.float64)
