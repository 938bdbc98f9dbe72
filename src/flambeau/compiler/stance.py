"""How compiled functions behave now, whatever they were told when they were made: `torch.compiler.set_stance`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

STANCES = ("default", "force_eager", "eager_on_recompile", "fail_on_recompile")


class _Stance:
    value = "default"

    @property
    def disabled(self) -> bool:
        """Whether everything runs uncompiled (`torch._dynamo.config.disable`)."""
        return self.value == "force_eager"

    @disabled.setter
    def disabled(self, value: bool) -> None:
        self.value = "force_eager" if value else "default"


class _Limits:
    """How many programs a compiled function may have, as `torch._dynamo.config` says."""

    programs = 8  # for one signature of the arguments
    signatures = 32  # that are kept for all signatures together; the least recently used go
    one_program = False  # a second one is an error
    strict = False  # one more than `programs` is an error


stance: _Stance = _Stance()
_now = stance  # where an argument has that name
limits: _Limits = _Limits()


class set_stance:
    """From now on, or in a `with` block or a decorated function: "default"; "force_eager" runs everything uncompiled;
    "eager_on_recompile" uses the programs that there are, "fail_on_recompile" raises RuntimeError where there is none.
    """

    def __init__(self, stance: str = "default", *, skip_guard_eval_unsafe: bool = False, force_backend: Any = None):
        if stance not in STANCES:
            raise RuntimeError(f"invalid torch.compile stance '{stance}': it is one of {', '.join(STANCES)}")
        if skip_guard_eval_unsafe or force_backend is not None:
            raise NotImplementedError("set_stance: skip_guard_eval_unsafe and force_backend have no meaning here")
        self.name = stance
        self.before: str = _now.value
        _now.value = stance

    def __enter__(self) -> None:
        stance.value = self.name

    def __exit__(self, *exc: object) -> None:
        stance.value = self.before

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        stance.value = self.before

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with set_stance(self.name):
                return function(*args, **kwargs)

        return run
