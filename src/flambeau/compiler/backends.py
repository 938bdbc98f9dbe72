"""What `torch.compile(backend=)` takes: names that PyTorch knows or a program has registered, and functions. It is XLA that compiles."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..core.context.warned import warn_once

_NAMES = frozenset(
    "aot_eager aot_eager_decomp_partition aot_eager_decomp_partition_crossref aot_eager_decomp_partition_with_mode "
    "aot_eager_default_partitioner aot_ts cudagraphs eager eager_debug eager_noexcept inductor invoke_subgraph openxla openxla_eval "
    "pre_dispatch_eager ts tvm xla".split()
)
_registered: dict[str, Callable[..., Any]] = {}


class InvalidBackend(RuntimeError):
    """The name is no backend's."""


def register_backend(
    compiler_fn: Callable[..., Any] | None = None, name: str | None = None, tags: Sequence[str] = ()
) -> Callable[..., Any]:
    """Give a function of a graph and example inputs a name for `compile(backend=name)`, which says that it is not asked."""
    if compiler_fn is None:
        return functools.partial(register_backend, name=name, tags=tags)
    if not callable(compiler_fn):
        raise AssertionError(f"compiler_fn must be callable, got {type(compiler_fn)}")
    _registered[name or compiler_fn.__name__] = compiler_fn
    compiler_fn._tags = tuple(tags)  # type: ignore[attr-defined]
    return compiler_fn


def registered(exclude_tags: Sequence[str] | None) -> list[str]:
    """The names of functions that were registered, but for those with one of the tags."""
    left_out = set(exclude_tags or ())
    return sorted(name for name, f in _registered.items() if not left_out.intersection(f._tags))  # type: ignore[attr-defined]


def _known(name: str) -> None:
    if name not in _NAMES and name not in _registered:
        raise InvalidBackend(f"Invalid backend: {name!r}, see `torch._dynamo.list_backends()` for available backends.")


def lookup_backend(compiler_fn: Any) -> Any:
    """The function that was registered under a name; of PyTorch's own names there is none here (NotImplementedError)."""
    if not isinstance(compiler_fn, str):
        return compiler_fn
    _known(compiler_fn)
    if compiler_fn not in _registered:
        raise NotImplementedError(
            f"torch._dynamo.lookup_backend({compiler_fn!r}): XLA compiles, and there is no function of a graph that does it. "
            "torch.compile takes the name as it is"
        )
    return _registered[compiler_fn]


def check_backend(backend: Any) -> None:
    """InvalidBackend for a name that is none; a warning for a function of the user's, which is not asked."""
    if isinstance(backend, str):
        _known(backend)
    own = _registered.get(backend) if isinstance(backend, str) else backend
    if callable(own):
        name = getattr(own, "__name__", type(own).__name__)
        warn_once(
            f"torch.compile(backend={name}): it is not asked, since there is no graph of ATen's operators; XLA compiles"
        )
