"""What a trace begins that is to last: optimizers' state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.tensor.tensor import Tensor
from .guards.places import MISSING
from .guards.values import without_inputs


class Begun:
    def __init__(self) -> None:
        self.optimizers: dict[Any, Any] = {}  # those that made a step -> their state before
        self.once = False  # whether the first call of an optimizer's step was seen, which is unlike the later ones
        self.undo: list[Callable[[], None]] = []

    def keep_optimizer(self, optimizer: Any) -> None:
        """Note that an optimizer is about to make a step."""
        if optimizer not in self.optimizers:
            tables = {k: v for k, v in optimizer.state.items() if isinstance(v, dict)}
            self.optimizers[optimizer] = {k: {i: without_inputs(x) for i, x in v.items()} for k, v in tables.items()}

    def holds_once(self, is_outside: Callable[[Any], bool]) -> bool:
        """Whether this is the program of a single call: optimizers have begun state that later calls go on with otherwise."""
        begun = [
            (optimizer, value)
            for optimizer, before in self.optimizers.items()
            for key, state in optimizer.state.items()
            for item, value in (state.items() if isinstance(state, dict) else ())
            if isinstance(value, Tensor) and before.get(key, {}).get(item, MISSING) is MISSING
        ]
        return self.once or not all(optimizer.begins_alike and is_outside(value) for optimizer, value in begun)

    def tables(self) -> set[int]:
        """The ids of the tables in which optimizers keep their state."""
        tables = [o.state for o in self.optimizers]
        return {id(table) for state in tables for table in (state, *state.values())}

    def take_back(self) -> None:
        """The trace has failed: no optimizer has begun anything."""
        for optimizer, before in self.optimizers.items():
            state = optimizer.state
            for key in list(state):
                if key not in before:
                    del state[key]
                elif isinstance(state[key], dict):
                    state[key].clear()
                    state[key].update(before[key])
        for undo in reversed(self.undo):
            undo()
