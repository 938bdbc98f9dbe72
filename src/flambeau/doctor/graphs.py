"""What backward passes show: leaves that nobody trains, gradients that nobody cleared, graphs that somebody keeps."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Place = tuple[str, int]
_KEPT = 3  # earlier passes of which a line's results may be alive: one or two are a variable's
_MANY = 200  # results that no backward pass has reached so far


def nodes(root: Any) -> Iterator[Any]:
    """All nodes that a result depends on."""
    met, stack = set(), [root]
    while stack:
        node = stack.pop()
        if node is None or id(node) in met:
            continue
        met.add(id(node))
        stack += [n for n, _ in node.next_functions]
        yield node


def leaves(met: list[Any]) -> list[Any]:
    """The tensors that a backward pass through these nodes ends at."""
    found = (getattr(node, "variable", None) for node in met)
    return [leaf for leaf in found if leaf is not None]


@dataclass
class ByHand:
    """Leaves that are changed without an optimizer: by which gradient, when a backward pass began."""

    seen: dict[int, tuple[Any, Any, Any]] = field(default_factory=dict)  # (tensor, its array, its gradient)

    def clears(self, grad: Any) -> None:
        """A gradient is written to."""
        self.seen = {key: row for key, row in self.seen.items() if row[2] is not grad}

    def begins(self, leaf: Any) -> bool:
        """A backward pass reaches a leaf: whether it adds to a gradient by which the leaf was changed already."""
        _, array, grad = self.seen.get(id(leaf), (None, None, None))
        self.seen[id(leaf)] = leaf, leaf._array, leaf.grad
        changed = grad is not None and grad is leaf.grad and array is not leaf._array
        return changed and bool(grad.detach().ne(0).any())


@dataclass
class Kept:
    """Results that a backward pass went through, and whose graphs are alive some passes later."""

    passes: int = 0  # those between two calls of models are one, as the losses of an ensemble
    calls: bool = False  # whether a model was called since the last
    fresh: list[tuple[Any, Place, str]] = field(
        default_factory=list
    )  # weak references to nodes that no pass has reached
    lines: dict[Place, dict[int, list[Any]]] = field(default_factory=dict)  # those that one has, by line and pass
    told: bool = False

    def called(self, node: Any, place: Place, name: str) -> None:
        """A model has given a result."""
        self.calls = True
        if len(self.fresh) < _MANY and not self.told:
            self.fresh.append((weakref.ref(node), place, name))

    def passed(self, met: list[Any], place: Place, name: str) -> tuple[Place, str] | None:
        """A backward pass from the first of these nodes: line and name of what is kept, told once."""
        if self.told:
            return None
        self.passes, self.calls = self.passes + self.calls, False
        ids = {id(node) for node in met}
        reached = [row for row in self.fresh if id(row[0]()) in ids]
        self.fresh = [row for row in self.fresh if row[0]() is not None and id(row[0]()) not in ids]
        rows = [(weakref.ref(met[0]), place, name), *reached]  # a loss that is kept keeps what it was computed from
        for ref, line, _ in rows:
            self.lines.setdefault(line, {}).setdefault(self.passes, []).append(ref)
        found = next(((line, name) for _, line, name in rows if self._are_many(line)), None)
        self.told = found is not None
        return found

    def _are_many(self, line: Place) -> bool:
        if len(self.lines[line]) > _KEPT + 1:
            self._forget(line)
        if len(self.lines[line]) > _KEPT + 1:
            gc.collect()  # what stands in a cycle is not kept
            self._forget(line)
        return len(self.lines[line]) > _KEPT + 1

    def _forget(self, line: Place) -> None:
        alive = {number: [ref for ref in refs if ref() is not None] for number, refs in self.lines[line].items()}
        self.lines[line] = {number: refs for number, refs in alive.items() if refs}


__all__ = ["ByHand", "Kept", "leaves", "nodes"]
