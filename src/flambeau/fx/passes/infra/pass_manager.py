"""`torch.fx.passes.infra.pass_manager`: passes in order."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from ....nn.modules.module import Module
from ...graph_module import GraphModule
from .pass_base import PassResult

__all__ = ["PassManager", "pass_result_wrapper", "this_before_that_pass_constraint"]


def pass_result_wrapper(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function that changes a module and returns None (or a PassResult), as one that always returns a PassResult."""
    if fn is None:
        return None

    @wraps(fn)
    def wrapped(gm: Any) -> PassResult:
        result = fn(gm)
        if result is None:
            return PassResult(gm, True)
        if isinstance(result, PassResult):
            return result
        if isinstance(result, Module):
            return PassResult(result, True)  # type: ignore[arg-type]
        return result

    if not inspect.isfunction(fn):
        wrapped.__name__ = type(fn).__name__
    return wrapped


def this_before_that_pass_constraint(this: Callable[..., Any], that: Callable[..., Any]) -> Callable[..., bool]:
    """A constraint: `this` must come before `that`."""
    return lambda a, b: not (a == that and b == this)


class PassManager:
    """Runs passes in order, `steps` times, or until none of them changes anything.

    `constraints` are functions of two passes that are false if the first may not come before the second.
    """

    def __init__(
        self, passes: list[Callable[..., Any]] | None = None, constraints: list[Callable[..., bool]] | None = None,
        steps: int | None = None, run_checks_after_each_pass: bool = False, suppress_check_failures: bool = False,
    ):  # fmt: skip
        self.passes: Any = passes or []
        self.constraints: Any = constraints or []
        self.steps: int = steps if steps is not None else 1
        self.run_checks_after_each_pass = run_checks_after_each_pass
        self.suppress_check_failures = suppress_check_failures
        self._validated = False

    def add_pass(self, _pass: Callable[..., Any]) -> None:
        """One more pass."""
        self.passes.append(_pass)
        self._validated = False

    def add_constraint(self, constraint: Callable[..., bool]) -> None:
        """One more constraint."""
        self.constraints.append(constraint)
        self._validated = False

    def validate_constraints(self) -> None:
        """RuntimeError if the order is against a constraint."""
        if self._validated:
            return
        for constraint in self.constraints:
            for i, a in enumerate(self.passes):
                for j, b in enumerate(self.passes[i + 1 :], i + 1):
                    if not constraint(a, b):
                        raise RuntimeError(
                            f"pass schedule constraint violated. Expected {a} before {b} but found {a} at index {i} and {b} at "
                            f"index{j} in pass list."
                        )
        self._validated = True

    def solve_constraints(self) -> None:
        """Put the passes into an order that the constraints allow. RuntimeError if there is none."""
        if self.constraints:
            allowed = lambda a, b: all(c(a, b) for c in self.constraints)  # noqa: E731
            before = {p: [q for q in self.passes if q != p and not allowed(p, q)] for p in self.passes}
            placed: list[Callable[..., Any]] = []
            while len(placed) < len(self.passes):
                free = [p for p in self.passes if p not in placed and all(q in placed for q in before[p])]
                if not free:
                    ring = [p for p in self.passes if p not in placed]
                    raise RuntimeError(f"Circular dependency detected within the following passes: {ring}")
                placed.append(free[0])
            self.passes = placed
        self._validated = True

    def add_checks(self, check: Callable[..., Any]) -> None:
        """Use a function of one argument, a module, as the check. TypeError for one of none or several."""
        if len(inspect.signature(check).parameters) != 1:
            raise TypeError("PassManager check function should only take in one variable, a module")
        self.check = check  # type: ignore[method-assign]

    def check(self, module: Module) -> None:
        """What is checked before the passes, and after each if asked for."""

    def __call__(self, module: GraphModule) -> PassResult:
        if not self._validated:
            self.solve_constraints()
        self.check(module)
        changed = False
        for _ in range(self.steps):
            modified = False
            for i, run in enumerate(self.passes):
                done = [getattr(p, "__name__", type(p).__name__) for p in self.passes[:i]]
                name = getattr(run, "__name__", type(run).__name__)
                try:
                    result = run(module)
                    if not isinstance(result, PassResult) and not hasattr(result, "graph_module"):
                        raise TypeError(
                            f"The result of the pass {name} should be type PassResult. Please wrap it with pass_result_wrapper()"
                        )
                    module = result.graph_module
                    modified = modified or result.modified
                    if isinstance(module, GraphModule):
                        module.recompile()
                    if self.run_checks_after_each_pass:
                        self.check(module)
                except Exception as error:
                    raise Exception(
                        f"An error occurred when running the '{name}' pass after the following passes: {done}"
                    ) from error
            changed = changed or modified
            if not modified:
                break
        return PassResult(module, changed)
