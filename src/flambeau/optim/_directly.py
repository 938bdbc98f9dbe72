"""The update of many large parameters as one call of the elementwise kernel, without a program of XLA for their shapes.

A program for hundreds of parameters takes longest of all in a model's first step: it has to be traced, lowered and compiled with
three arrays in and out for each of them. What differs from step to step are a few numbers; they are what is left to a program, which is
the same for any shapes, and which gives the kernel's instructions besides.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..native.direct import Call, plain, possible, takes

_LARGE, _EACH = 1 << 20, 1 << 14  # numbers in all, and on average: a result costs some 7 us, as much as 2^14 numbers
OVER = 1 << 16  # in all, where results are written over what was there and cost nothing
_KEPT = 8  # calls for so many lists of shapes


class DirectUpdate:
    """`prepare(common, values)` gives the instructions, their numbers, and the new common state (see `elementwise.instructions`)."""

    def __init__(self, prepare: Callable[..., Any]):
        self._prepare: Callable[..., Any] | None = prepare
        self._calls: dict[tuple[tuple[int, ...], ...], Call] = {}

    def __call__(
        self,
        params: Sequence[Any],
        grads: Sequence[Any],
        own: Sequence[Any],
        common: Sequence[Any],
        values: Any,
        over: bool,
    ) -> tuple[list[Any], list[Any], list[Any]] | None:
        """The new parameters, state and common state; None where a program has to make them. `over` says that nobody else holds the
        arrays of parameters and state: the new ones are written there.
        """
        count, arrays = len(params), [*params, *grads, *own]
        if self._prepare is None or count < 2 or not all(map(takes, arrays)) or not possible("flambeau_elementwise"):
            return None
        sizes = [param.size for param in params]
        shapes = tuple([param.shape for param in params])
        if sum(sizes) < (OVER if over else max(_LARGE, _EACH * count)) or not all(sizes):
            return None
        if any(array.shape != shapes[i % count] for i, array in enumerate(arrays)):
            return None
        code, numbers, shared = self._prepare(common, values)
        call = self._calls.get(shapes)
        if call is None:
            program = np.asarray(code)
            if not program.size:
                self._prepare = None  # the rule has other operations
                return None
            if len(self._calls) >= _KEPT:
                self._calls.clear()
            each, columns = [plain(shape) for shape in shapes], len(arrays) // count
            call = self._calls[shapes] = Call(
                "flambeau_elementwise",
                [*each * columns, plain(numbers.shape)],
                each * (columns - 1),
                program=program,
                temporaries=np.int64(len(program) // 5),
                members=np.int64(count),
            )
        if over:
            call.over([*arrays, numbers], [*range(count), *range(2 * count, len(arrays))])
            return list(params), list(own), list(shared)
        made = call(*arrays, numbers)
        return made[:count], made[count:], list(shared)


def directly(compiled: Callable[..., Any], prepare: Callable[..., Any], width: int) -> Callable[..., Any]:
    """A rule's program where it must be, else the kernel's call. `width` is how many pieces of common state there are.

    The kernel is not thought of where `over` is None, which is for fewer than `OVER` numbers.
    """
    update = DirectUpdate(prepare)

    @functools.wraps(compiled)
    def either(
        params: Any, grads: Any, own: Any, common: Any, values: Any, in_place: bool, met: Any = None,
        over: bool | None = None,
    ) -> tuple[Any, Any, Any]:  # fmt: skip
        direct = over is not None and not in_place and len(common) <= width
        if direct and (made := update(params, grads, own, common, values, bool(over))) is not None:
            return made
        return compiled(params, grads, own, common, values, in_place, met)  # type: ignore[no-any-return]

    either._cache_size = compiled._cache_size  # type: ignore[attr-defined]  # programs for shapes
    return either
