"""Which modules of a network are wrapped on their own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ...core.dispatch.messages import message

__all__ = [
    "CustomPolicy",
    "ModuleWrapPolicy",
    "always_wrap_policy",
    "enable_wrap",
    "lambda_auto_wrap_policy",
    "size_based_auto_wrap_policy",
    "transformer_auto_wrap_policy",
    "wrap",
]


def always_wrap_policy(*args: Any, **kwargs: Any) -> bool:
    """All of them."""
    return True


def _descends_or(recurse: bool, answer: bool) -> bool:
    return True if recurse else answer


def lambda_auto_wrap_policy(
    module: Any, recurse: bool, nonwrapped_numel: int, lambda_fn: Callable[[Any], bool]
) -> bool:
    """Those of which the function says so."""
    return _descends_or(recurse, bool(recurse or lambda_fn(module)))


def transformer_auto_wrap_policy(
    module: Any, recurse: bool, nonwrapped_numel: int, transformer_layer_cls: set[type]
) -> bool:
    """Those of these classes."""
    return _descends_or(recurse, isinstance(module, tuple(transformer_layer_cls)))


_module_wrap_policy = transformer_auto_wrap_policy


def _or_policy(module: Any, recurse: bool, nonwrapped_numel: int, policies: Iterable[Callable[..., bool]]) -> bool:
    return any(policy(module=module, recurse=recurse, nonwrapped_numel=nonwrapped_numel) for policy in policies)


def size_based_auto_wrap_policy(
    module: Any,
    recurse: bool,
    nonwrapped_numel: int,
    min_num_params: int = int(1e8),
    force_leaf_modules: set[type] | None = None,
    exclude_wrap_modules: set[type] | None = None,
) -> bool:
    """Those of at least so many parameters, but for lists, dictionaries and attention."""
    from ...nn import ModuleDict, ModuleList, MultiheadAttention

    leaves = tuple({MultiheadAttention} if force_leaf_modules is None else force_leaf_modules)
    excluded = tuple({ModuleList, ModuleDict} if exclude_wrap_modules is None else exclude_wrap_modules)
    large = nonwrapped_numel >= min_num_params
    if recurse:
        return large and not isinstance(module, leaves)
    return large and not isinstance(module, excluded)


class ModuleWrapPolicy:
    """Modules of these classes."""

    def __init__(self, module_classes: Iterable[type]):
        self._module_classes = set(module_classes)

    def __call__(self, module: Any, recurse: bool, *args: Any, **kwargs: Any) -> bool:
        return _descends_or(recurse, isinstance(module, tuple(self._module_classes)))

    def __repr__(self) -> str:
        return f"ModuleWrapPolicy({self._module_classes})"


class CustomPolicy:
    """Modules of which the function says so, by True or by settings of their own."""

    def __init__(self, lambda_fn: Callable[[Any], Any]):
        self._lambda_fn = lambda_fn

    def _policy(self, module: Any, recurse: bool, nonwrapped_numel: int) -> Any:
        found = True if recurse else self._lambda_fn(module)
        if not isinstance(found, (bool, dict)):
            raise ValueError(message("custom_policy", found=found))
        return found


class _Wrapping(threading.local):
    """What `wrap` wraps with in this thread."""

    wrapper: Any = None
    settings: dict[str, Any] = {}  # noqa: RUF012


_wrapping = _Wrapping()


@contextlib.contextmanager
def enable_wrap(*, wrapper_cls: Any, **wrapper_kwargs: Any) -> Iterator[None]:
    """Inside, `wrap` wraps modules with this class and these settings."""
    before = _wrapping.wrapper, _wrapping.settings
    _wrapping.wrapper, _wrapping.settings = wrapper_cls, wrapper_kwargs
    try:
        yield
    finally:
        _wrapping.wrapper, _wrapping.settings = before


def wrap(module: Any, **wrap_overrides: Any) -> Any:
    """The module, wrapped as `enable_wrap` says, and these settings before its; outside of it the module itself."""
    if _wrapping.wrapper is None:
        return module
    return _wrapping.wrapper(module, **{**_wrapping.settings, **wrap_overrides})
