"""Random programs of views, writes in place and gradients, run in both libraries and compared after every step.

A step is plain data: `(number, operation, target, arguments, under no_grad)`; tensors are named by the number of the step
that made them, so that a failing program can be cut down by leaving steps out. `python tests/view_programs.py SEED COUNT`
searches and prints the smallest program it finds for each failure.
"""

from __future__ import annotations

import random
import re
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch

import flambeau as fb
from flambeau.core.array.geometry import Geometry, overlaps
from support.values import array

SHAPES = [(), (1,), (4,), (2, 3), (3, 3), (1, 3), (2, 3, 4), (4, 1, 2), (2, 2, 1, 2), (0, 3), (6,), (4, 4)]
Slots = dict[int, Any]


class Step(NamedTuple):
    number: int
    operation: str
    target: int  # the number of the tensor that it is about
    arguments: tuple[Any, ...] = ()
    no_grad: bool = False


# --- what the steps do, in either library ----------------------------------------------------------------------------


def _create(library: Any, _: Any, slots: Slots, shape: tuple[int, ...], kind: str, requires_grad: bool) -> Any:
    values = (np.arange(np.prod(shape, dtype=int)) % 7 - 2.5).reshape(shape) / 2
    if kind == "complex":
        values = values + 1j * np.flip(values)
    dtype = library.complex128 if kind == "complex" else library.float64
    made = library.tensor(values.tolist(), dtype=dtype) if values.size else library.zeros(shape, dtype=dtype)
    return made.requires_grad_(requires_grad)


def _data(library: Any, x: Any, slots: Slots) -> Any:
    return x.data


def _index(library: Any, x: Any, slots: Slots, key: Any) -> Any:
    return x[key]


def _piece(library: Any, x: Any, slots: Slots, name: str, arguments: tuple[Any, ...], which: int) -> Any:
    return getattr(x, name)(*arguments)[which]


def _part(library: Any, x: Any, slots: Slots, name: str) -> Any:
    return library.view_as_real(x) if name == "view_as_real" else getattr(x, name)


def _as_complex(library: Any, x: Any, slots: Slots) -> Any:
    return library.view_as_complex(x)


def _assign(library: Any, x: Any, slots: Slots, key: Any, value: Any) -> None:
    x[key] = slots[value] if type(value) is int else value


def _compute(library: Any, x: Any, slots: Slots, name: str, other: Any) -> Any:
    other = slots[other] if type(other) is int else other
    made = x.sin() if name == "sin" else getattr(x, name)(other)
    return made.flatten().reshape(made.shape).clone()  # strides of results are a known difference


def _write(library: Any, x: Any, slots: Slots, name: str, other: Any) -> None:
    getattr(x, name)(*(() if other is None else (slots[other] if type(other) is int else other,)))


def _hook(library: Any, x: Any, slots: Slots, factor: float) -> None:
    x.register_hook(lambda g: g * factor)


def _backward(library: Any, x: Any, slots: Slots, others: tuple[int, ...]) -> None:
    total = 0
    for i, number in enumerate((0, *others)):
        y = x if i == 0 else slots[number]
        if y.requires_grad:
            y = library.view_as_real(y) if y.is_complex() else y
            total = total + (y * y).sum() * (0.5 + i)
    total.backward(retain_graph=True)


SPECIAL: dict[str, Callable[..., Any]] = {
    "create": _create,
    "data": _data,
    "index": _index,
    "piece": _piece,
    "part": _part,
    "view_as_complex": _as_complex,
    "assign": _assign,
    "compute": _compute,
    "write": _write,
    "hook": _hook,
    "backward": _backward,
}


def run(library: Any, step: Step, slots: Slots) -> None:
    """Do a step; what it makes goes into `slots`."""
    target = slots.get(step.target)
    with library.no_grad() if step.no_grad else nullcontext():
        if step.operation in SPECIAL:
            made = SPECIAL[step.operation](library, target, slots, *step.arguments)
        else:
            made = getattr(target, step.operation)(*step.arguments)
    if isinstance(made, library.Tensor) and made is not target:
        slots[step.number] = made


# --- drawing a program -----------------------------------------------------------------------------------------------


class Drawer:
    """Draws steps that mostly make sense for the tensors that there are."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.unwatched: set[int] = set()  # from `.data`: torch doesn't notice writes to what backward needs there
        self.changed: set[int] = set()  # memory that was written to through `detach()`

    def unnoticed(self, target: int, slots: Slots) -> bool:
        """Whether a write goes through `detach()` to a view of another family, which flambeau does not notice."""
        x = slots[target]
        root, place = x if x._base is None else x._base, x.untyped_storage().data_ptr()
        others = [y for y in slots.values() if y.untyped_storage().data_ptr() == place]
        apart = [y for y in others if (y if y._base is None else y._base) is not root]
        if any(y._base is not None for y in apart):
            return True
        if apart:
            self.changed.add(place)
        return False

    def dims(self, x: Any, count: int = 1) -> tuple[int, ...]:
        n = max(x.ndim, 1)
        return tuple(self.random.randrange(-n, n) for _ in range(count))

    def view(self, x: Any) -> tuple[str, tuple[Any, ...]]:
        r, n, (d, e) = self.random, x.ndim, self.dims(x, 2)
        size = x.shape[d] if n else 1
        kinds = ["unsqueeze", "index", "flat", "detach", "data", "clone", "as_strided", "view_as"]
        if n:
            kinds += ["select", "narrow", "squeeze", "permute", "unbind", "split", "chunk", "unfold", "expand", "index"]
        if n > 1:
            kinds += ["transpose", "diagonal", "mT", "movedim", "swapaxes", "flatten", "T"]
        if x.is_complex():
            kinds += ["real", "imag", "view_as_real"]
        elif n and size == 2:
            kinds += ["view_as_complex"] * 3
        kind = r.choice(kinds)
        if kind == "unsqueeze":
            return kind, (r.randint(-n - 1, n),)
        if kind == "flat":
            return ("view" if x.is_contiguous() else "reshape"), (-1,)
        if kind == "view_as":
            return "view", (tuple(reversed(x.shape)),)
        if kind == "index":
            return kind, (self.key(x),)
        if kind == "select":
            return kind, (d, r.randrange(size) if size else 0)
        if kind == "narrow":
            start = r.randint(0, size)
            return kind, (d, start, r.randint(0, size - start))
        if kind == "squeeze":
            return kind, r.choice([(), (d,)])
        if kind == "permute":
            return kind, tuple(r.sample(range(n), n))
        if kind == "unbind" and size:
            return "piece", (kind, (d,), r.randrange(size))
        if kind in ("split", "chunk"):
            return "piece", (kind, (2, d), -1)
        if kind == "unfold" and size:
            return kind, (d, r.randint(1, size), r.randint(1, 3))
        if kind == "expand":
            return kind, (*r.choice([(), (), (2,)]), *(3 if s == 1 else s for s in x.shape))
        if kind in ("transpose", "movedim", "swapaxes"):
            return kind, (d, e)
        if kind == "diagonal":
            return kind, (r.randint(-2, 2), d, e)
        if kind == "flatten":
            return kind, tuple(sorted((d % n, e % n)))
        if kind in ("mT", "T", "real", "imag", "view_as_real"):
            return "part", ("mT" if kind == "T" and n != 2 else kind,)
        if kind == "as_strided":
            return kind, self.strided(x)
        return (kind if kind in ("detach", "data", "clone", "view_as_complex") else "detach"), ()

    def strided(self, x: Any) -> tuple[Any, ...]:
        r = self.random
        shape = r.choice([(2,), (3,), (2, 2), (1, 2), ()])
        strides = tuple(r.randint(0 if r.random() < 0.2 else 1, 4) for _ in shape)
        return (shape, strides, *r.choice([(), (r.randint(0, 5),), (r.randint(0, 2),)]))

    def key(self, x: Any) -> Any:
        r, keys = self.random, []
        for size in x.shape:
            item = r.choice(["int", "slice", "none", "stop", "slice"])
            if item == "int" and size:
                keys.append(r.randrange(-size, size))
            elif item == "slice":
                keys.append(slice(r.choice([None, 0, 1, -2]), r.choice([None, None, 2, -1, 5]), r.randint(1, 2)))
            elif item == "none":
                keys += [None, slice(None)]
            else:
                keys.append(...)
                break
        return tuple(keys)

    def look(self, x: Any) -> tuple[str, tuple[Any, ...]]:
        r, n, (d, e) = self.random, x.ndim, self.dims(x, 2)
        kind = r.choice("unsqueeze_ squeeze_ t_ transpose_ swapaxes_ swapdims_ as_strided_ resize_ detach_".split())
        if kind == "unsqueeze_":
            return kind, (r.randint(-n - 1, n),)
        if kind == "squeeze_":
            return kind, r.choice([(), (d,)])
        if kind == "as_strided_":
            return kind, self.strided(x)
        if kind == "resize_":  # what it grows by would hold anything
            room = x.untyped_storage().nbytes() // x.element_size() - x.storage_offset()
            return kind, r.choice(
                [s for s in ((2,), (2, 2), (x.numel(),), (1, x.numel()), ()) if np.prod(s) <= room] or [(0,)]
            )
        return kind, () if kind in ("t_", "detach_") else (d, e)

    def other(self, x: Any, slots: Slots) -> Any:
        """A tensor that broadcasts to x, by its number; or a number."""
        fitting = []
        for number, y in slots.items():
            span = x.ndim - y.ndim
            if span >= 0 and all(a in (1, b) for a, b in zip(y.shape, x.shape[span:], strict=True)):
                fitting.append(number)
        return self.random.choice([*fitting, 0.5, -1.5])

    def step(self, number: int, slots: Slots) -> Step:
        r = self.random
        kind = r.choices(
            [
                "create",
                "view",
                "look",
                "write",
                "assign",
                "compute",
                "requires_grad_",
                "retain_grad",
                "hook",
                "backward",
            ],
            [1, 9, 3, 4, 2, 3, 1, 1.5, 0.7, 0.5],
        )[0]
        if kind == "create" or not slots:
            dtype = r.choice(["real", "real", "real", "complex"])
            return Step(number, "create", 0, (r.choice(SHAPES), dtype, r.random() < 0.6))
        target = r.choice(list(slots)[-4:] if r.random() < 0.6 else list(slots))
        x, no_grad = slots[target], r.random() < 0.15
        if kind in ("write", "assign", "look") and (target in self.unwatched or self.unnoticed(target, slots)):
            kind = "view"
        if kind == "requires_grad_" and x.untyped_storage().data_ptr() in self.changed:
            kind = "view"
        if kind == "view":
            drawn = self.view(x)
            if drawn[0] == "data" or target in self.unwatched:
                self.unwatched.add(number)
            return Step(number, *_around(target, drawn), no_grad)
        if kind == "look":
            return Step(number, *_around(target, self.look(x)), no_grad and not x.requires_grad)
        if kind == "write":
            name = r.choice(["mul_", "add_", "copy_", "zero_", "fill_", "neg_", "sub_", "mul_"])
            other = None if name in ("zero_", "neg_") else self.other(x, _elsewhere(slots, x))
            if name == "fill_" or (name == "copy_" and isinstance(other, float)):
                name, other = "fill_", 0.75
            return Step(number, "write", target, (name, other), no_grad)
        if kind == "assign":
            key = self.key(x)
            return Step(number, "assign", target, (key, self.other(x.detach()[key], _elsewhere(slots, x))), no_grad)
        if kind == "compute":
            return Step(
                number, "compute", target, (r.choice(["mul", "add", "sin", "add"]), self.other(x, slots)), no_grad
            )
        if kind in ("requires_grad_", "retain_grad"):
            x.is_leaf  # noqa: B018 - torch may refuse to say, of a view from no_grad mode
        if kind == "requires_grad_":
            return Step(number, kind, target, (r.random() < 0.8,))
        if kind == "hook" and (x._base is None or not x.is_leaf):
            return Step(number, kind, target, (r.choice([2.0, 0.0, -1.0]),))
        if kind == "backward":
            return Step(number, kind, target, (tuple(r.sample(list(slots), min(2, len(slots)))),))
        return Step(number, "retain_grad", target)


def _elsewhere(slots: Slots, x: Any) -> Slots:
    """The tensors in other memory: where the two overlap, what torch writes depends on the order."""
    return {n: y for n, y in slots.items() if y.untyped_storage().data_ptr() != x.untyped_storage().data_ptr()}


def _around(target: int, drawn: tuple[str, tuple[Any, ...]]) -> tuple[str, int, tuple[Any, ...]]:
    return drawn[0], target, drawn[1]


# What torch refuses and flambeau gives a right answer to, or the other way round: docs/differences.md has them.
KNOWN = (
    "a function that returns multiple views",  # writes to the pieces of unbind, split and chunk
    "has been modified by an inplace operation",  # writes to what backward needs
    "some elements of the input tensor and the written-to tensor refer to a single memory location",
    # the gradient of a view that was given another shape in place, and of what was detached in place
    "returned an invalid gradient at index",
    "invalid storage offset",
    "are out of bounds for storage of size",
    "a saved tensor that has been detached in-place",
    "INTERNAL ASSERT FAILED",  # `retain_grad` of such a view's base
)


def _is_known(error: Exception) -> bool:
    return any(text in str(error) for text in KNOWN)


def overlapping(x: Any) -> bool:
    """Windows that share elements. torch writes to them all the same, with results that depend on the order."""
    return bool(x.numel()) and overlaps(Geometry(tuple(x.shape), tuple(x.stride()), x.storage_offset()))


def _writes_windows(step: Step, slots: Slots) -> bool:
    """Whether a step writes to windows that share elements; flambeau refuses that."""
    target = slots.get(step.target)
    if step.operation == "assign":
        target = target.detach()[step.arguments[0]]
    return step.operation in ("write", "assign") and overlapping(target)


def program(seed: int, length: int = 12) -> list[Step]:
    """A program and, by the way, what torch says to it."""
    drawer, steps, slots = Drawer(seed), [], {}
    for number in range(1, length + 1):
        last = number == length and slots
        try:
            step = (
                Step(number, "backward", next(reversed(slots)), (tuple(slots),)) if last else drawer.step(number, slots)
            )
            if _writes_windows(step, slots):
                continue
        except RuntimeError:  # torch refuses to say whether a view from no_grad mode is a leaf
            continue
        error = attempt(torch, step, slots)
        if error is None or not _is_known(error):
            steps.append(step)
    return steps


def attempt(library: Any, step: Step, slots: Slots) -> Exception | None:
    """The step's exception, if it raises one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run(library, step, slots)
    except Exception as error:
        return error
    return None


# --- comparing -------------------------------------------------------------------------------------------------------


def facts(slots: Slots) -> dict[int, tuple[Any, ...]]:
    """What can be said of each tensor without its values."""
    numbers = {id(x): number for number, x in slots.items()}
    made = {}
    for number, x in slots.items():
        base = x._base
        named = "another" if base is not None and id(base) not in numbers else numbers.get(id(base))
        where = (tuple(x.stride()), x.storage_offset()) if x.numel() else ()
        try:
            leaf: Any = x.is_leaf
        except RuntimeError as error:  # a view from no_grad mode whose base has changed since
            leaf = "known" if _is_known(error) else "refused"
        made[number] = (tuple(x.shape), where, x.requires_grad, leaf, x.retains_grad and leaf is False, named)
    return made


WORDS = ("shape", "stride and offset", "requires_grad", "is_leaf", "retains_grad", "base")


def difference(steps: list[Step]) -> str | None:
    """The first difference between the libraries in a program."""
    ours: Slots = {}
    theirs: Slots = {}
    for step in steps:
        error, expected = attempt(fb, step, ours), attempt(torch, step, theirs)
        where = f"after step {step.number}"
        if expected and _is_known(expected):
            return None  # from here on they go apart
        if type(error) is not type(expected):
            return f"{where}: {error!r} instead of {expected!r}"
        if expected and step.operation == "backward":
            return None  # which gradients were added before the error is told nowhere
        found, wanted = facts(ours), facts(theirs)
        for number in wanted:
            if number not in found:
                return f"{where}: no tensor {number}"
            if "known" in wanted[number] or ("refused" in wanted[number] and "refused" not in found[number]):
                return None  # a write through `detach()` is not noticed by views from no_grad mode
            for word, a, b in zip(WORDS, found[number], wanted[number], strict=True):
                if a != b:
                    return f"{where}: {word} of tensor {number} is {a} instead of {b}"
            text = _values_differ(ours[number], theirs[number])
            if text:
                return f"{where}: values of tensor {number} {text}"
    return None


def _values(x: Any) -> np.ndarray:
    return array(x.detach().clone())  # `numpy()` of the tensor itself would leave its memory shared


def _values_differ(a: Any, b: Any) -> str | None:
    if not np.allclose(_values(a), _values(b), rtol=1e-9, atol=1e-12, equal_nan=True):
        return f"are {_values(a).tolist()} instead of {_values(b).tolist()}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        g, h = _grad(a), _grad(b)
    if (g is None) != (h is None):
        return f"have gradient {g} instead of {h}"
    if g is not None and g.shape != h.shape:
        return f"have a gradient of shape {tuple(g.shape)} instead of {tuple(h.shape)}"
    if g is not None and not np.allclose(_values(g), _values(h), rtol=1e-9, atol=1e-12, equal_nan=True):
        return f"have gradient {_values(g).tolist()} instead of {_values(h).tolist()}"
    return None


def _grad(x: Any) -> Any:
    try:
        return x.grad
    except RuntimeError:  # a view from no_grad mode whose base has changed since
        return None


def _kind(steps: list[Step]) -> list[str]:
    """What goes wrong, without its numbers."""
    return re.findall("[A-Za-z_]{3,}", difference(steps) or "")[:4]


def shrunk(steps: list[Step]) -> list[Step]:
    """The program without the steps that the difference does not need."""
    for step in reversed(steps):
        fewer = [s for s in steps if s is not step]
        made = {s.number for s in fewer}
        if all(s.target in made or s.operation == "create" for s in fewer) and _kind(fewer) == _kind(steps):
            steps = fewer
    return steps


def search(seeds: range) -> list[tuple[int, str, list[Step]]]:
    """The programs that differ, cut down."""
    found = []
    for seed in seeds:
        steps = program(seed)
        if difference(steps):
            steps = shrunk(steps)
            found.append((seed, difference(steps) or "", steps))
    return found


def main(first: int, count: int) -> None:
    total = 0
    for seed in range(first, first + count):
        for _, text, steps in search(range(seed, seed + 1)):
            total += 1
            print(f"--- {seed}: {text}", *steps, sep="\n    ", flush=True)
            if total > 40:
                return
    print(f"{total} of {count} programs differ")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
