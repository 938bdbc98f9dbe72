"""Operators of the user's own: `custom_op`, and the older `Library` with `define` and `impl`.

https://docs.pytorch.org/docs/stable/library.html
"""

from __future__ import annotations

import contextlib
import re
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ._library.calls import get_ctx, kernel_for, rules_of, run
from ._library.checks import opcheck
from ._library.custom_ops import CustomOpDef, custom_op, is_functional, overload_for, split_name
from ._library.infer_schema import infer_schema
from ._library.keys import KEYS
from .core.array.devices import device as _device
from .core.dispatch.help import explain_namespace as _explain
from .core.dispatch.overloads import OpOverload, kernels_of, named, ops
from .core.dispatch.overloads import define as _define

_RESERVED = ("prim",)
_KEYS = frozenset(KEYS.split())
_USED = frozenset(
    "CPU CUDA Meta XLA MPS XPU HPU PrivateUse1 Autograd AutogradCPU AutogradCUDA AutocastCPU AutocastCUDA AutocastXPU "
    "CompositeImplicitAutograd "
    "CompositeExplicitAutograd CompositeExplicitAutogradNonFunctional".split()
)
_defined: set[str] = set()  # namespaces that have a Library of kind DEF
device_types_t = str | Sequence[str] | None


def fallthrough_kernel() -> None:
    """What is registered where a key is to be passed over. It cannot be called."""
    raise NotImplementedError("fallthrough_kernel() should never be called.")


_warned: set[str] = set()


def _warn_of_override(name: str, key: str) -> None:
    if not _warned:
        _warned.add(name)
        warnings.warn(
            "Warning only once for all operators,  other operators may also be overridden.\n  Overriding a previously registered "
            f"kernel for the same operator and the same dispatch key\n  operator: {name}\n  dispatch key: {key}",
            UserWarning,
            stacklevel=4,
        )


class Library:
    """Operators of one namespace. `kind`: "DEF" (the only one of its namespace), "FRAGMENT" or "IMPL" (adds no operators).

    What it has defined goes with it when it is deleted.
    """

    def __init__(self, ns: str, kind: str, dispatch_key: str = ""):
        if kind not in ("IMPL", "DEF", "FRAGMENT"):
            raise ValueError(f"Unsupported kind: {kind}")
        if ns in _RESERVED and kind in ("DEF", "FRAGMENT"):
            raise ValueError(f"{ns} is a reserved namespace. Please try creating a library with another name.")
        if kind == "DEF" and (ns in _defined or ns == "aten"):
            raise RuntimeError(
                f"Only a single TORCH_LIBRARY can be used to register the namespace {ns}; please put all of your definitions in "
                "a single TORCH_LIBRARY block.  If you were trying to specify implementations, consider using TORCH_LIBRARY_IMPL "
                "(which can be duplicated).  If you really intended to define operators for a single namespace in a distributed "
                "way, you can use TORCH_LIBRARY_FRAGMENT to explicitly indicate this."
            )
        self.ns = ns
        self.kind = kind
        self.dispatch_key = dispatch_key
        self._op_defs: set[str] = set()
        self._op_impls: set[str] = set()
        self._kernels: list[tuple[dict[Any, Any], str]] = []
        if kind == "DEF":
            _defined.add(ns)
        self._finalizer = weakref.finalize(self, _forget, ns, kind, self._op_defs, self._kernels)
        self._finalizer.atexit = False

    def __repr__(self) -> str:
        return f"Library(kind={self.kind}, ns={self.ns}, dispatch_key={self.dispatch_key})>"

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """Add an operator by its schema; gives its name. RuntimeError for a schema that cannot be read."""
        if alias_analysis not in ("", "FROM_SCHEMA", "CONSERVATIVE"):
            raise RuntimeError(f"Invalid alias_analysis type {alias_analysis}")
        if self.kind == "IMPL":
            name = schema.partition("(")[0]
            raise RuntimeError(
                f'def("{name}"): Cannot define an operator inside of a TORCH_LIBRARY_IMPL block.  All def()s should be placed '
                "in the (unique) TORCH_LIBRARY block for their namespace."
            )
        given = schema.partition("(")[0]
        if "::" in given and given.partition("::")[0] != self.ns:
            raise RuntimeError(
                f"Explicitly provided namespace ({given.partition('::')[0]}) in schema string does not match namespace of "
                f"enclosing TORCH_LIBRARY block ({self.ns})."
            )
        op = _define(schema, self.ns, run)
        op._tags = list(tags) if isinstance(tags, (list, tuple)) else [tags]
        self._op_defs.add(op.name())
        return op._opname

    def impl(
        self, op_name: Any, fn: Any, dispatch_key: str = "", *, with_keyset: bool = False, allow_override: bool = True
    ) -> None:
        """Register what computes an operator under a dispatch key: "CPU", "CompositeImplicitAutograd", "Autograd", "Meta".

        RuntimeError for a key that there is not; NotImplementedError for one that decides nothing here, and for `aten`.
        """
        if not callable(fn):
            raise TypeError(f"Input function is required to be a callable but found type {type(fn)}")
        key = dispatch_key or self.dispatch_key or "CompositeImplicitAutograd"
        key = str(key).rpartition(".")[2]
        if key not in _KEYS:
            raise RuntimeError(f"could not parse dispatch key: {key}")
        if self.ns == "aten":
            raise NotImplementedError(
                f"Library('aten').impl({op_name!r}): aten's operators are not looked up by dispatch key here, so that a kernel "
                "of yours would not be called by the public functions. Use torch.overrides.TorchFunctionMode to see their calls"
            )
        if fn is fallthrough_kernel:
            return
        if with_keyset or key not in _USED:
            what = "with_keyset=True" if with_keyset else f"dispatch key {key}"
            raise NotImplementedError(f"Library.impl({op_name!r}): {what} has no meaning here; there is no dispatcher")
        key = key.replace("NonFunctional", "")
        name = op_name.name() if isinstance(op_name, OpOverload) else f"{self.ns}::{str(op_name).rpartition('::')[2]}"
        kernels = kernels_of(name)  # the operator itself may be defined later
        if key in kernels:
            if not allow_override:
                raise RuntimeError(f"This is not allowed since there's already a kernel registered for {name}, {key}")
            _warn_of_override(name, key)
        kernels[key] = fn
        self._op_impls.add(f"{name}/{key}")
        self._kernels.append((kernels, key))

    def _op(self, name: str) -> OpOverload:
        base = name.partition("::")[2] or name
        found = named(f"{self.ns}::{base}")
        if found is None:
            raise RuntimeError(f"operator {self.ns}::{base} does not exist")
        return found

    def fallback(self, fn: Any, dispatch_key: str = "", *, with_keyset: bool = False) -> None:
        """Refused: there is no dispatcher that would fall back to it."""
        if self.ns != "_":
            raise RuntimeError(
                f'Fallback can only be registered using library fragment on the global namespace "_" but it is {self.ns}'
            )
        raise NotImplementedError(
            "Library.fallback(): there is no dispatcher here; use torch.overrides.TorchFunctionMode"
        )

    def _register_fake(self, op_name: Any, fn: Any, _stacklevel: int = 1, *, allow_override: bool = True) -> None:
        rules_of(self._op(str(op_name))).fake = fn

    def _register_torch_dispatch_rule(self, op_name: Any, torch_dispatch_class: Any, fn: Any) -> None:
        self._op(str(op_name)).kernels[torch_dispatch_class] = fn

    def _destroy(self) -> None:
        self._finalizer()


def _forget(ns: str, kind: str, defined: set[str], kernels: list[tuple[dict[Any, Any], str]]) -> None:
    """Take out what a library has registered."""
    for name in defined:
        base, _, overload = name.partition("::")[2].partition(".")
        getattr(ops, ns).forget(base, overload or "default")
    for held, key in kernels:
        held.pop(key, None)
    if kind == "DEF":
        _defined.discard(ns)


@contextlib.contextmanager
def _scoped_library(*args: Any, **kwargs: Any) -> Iterator[Library]:
    made = Library(*args, **kwargs)
    try:
        yield made
    finally:
        made._destroy()


_fragments: dict[str, Library] = {}  # of define(), impl() and the register functions where no library is given


def _fragment(ns: str, lib: Library | None) -> Library:
    if lib is not None:
        return lib
    if ns not in _fragments:
        _fragments[ns] = Library(ns, "FRAGMENT")
    return _fragments[ns]


def define(qualname: Any, schema: Any, *args: Any, lib: Library | None = None, tags: Any = ()) -> Any:
    """Add an operator `namespace::name` with this schema (without its name); `define(lib, schema)` serves as a decorator."""
    if isinstance(qualname, Library):

        def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
            qualname.impl(qualname.define(schema, *args), function)
            return function

        return wrap
    if not isinstance(qualname, str):
        raise ValueError(f"define(qualname, schema): expected qualname to be instance of str, got {type(qualname)}")
    namespace, name = split_name(qualname)
    if re.fullmatch(r"\(.*\) -> .*", schema) is None:
        raise ValueError(
            f'define(qualname, schema, ...): expected schema to look like e.g. "(Tensor x) -> Tensor" but got "{schema}"'
        )
    _fragment(namespace, lib).define(name + schema, alias_analysis="", tags=tags)
    return None


def impl(qualname: Any, types: Any, func: Any = None, *, lib: Library | None = None) -> Any:
    """Register what computes an operator on device types such as "cpu" ("default": on all). Serves as a decorator."""
    if isinstance(qualname, Library):  # impl(lib, name, dispatch_key)
        key = func or ""

        def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
            qualname.impl(types, function, key)
            return function

        return wrap
    keys = [_key_of(t) for t in ((types,) if isinstance(types, str) else types)]

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        namespace, _ = split_name(qualname)
        for key in dict.fromkeys(keys):
            _fragment(namespace, lib).impl(qualname, function, key)
        return function

    return register if func is None else register(func)


def _key_of(device_type: str) -> str:
    if device_type == "default":
        return "CompositeExplicitAutograd"
    return {"meta": "Meta"}.get(kind := _device(device_type).type, kind.upper())


def register_kernel(op: Any, device_types: device_types_t, func: Any = None, /, *, lib: Library | None = None) -> Any:
    """What computes an operator on these device types (None: on all). Serves as a decorator."""
    found = _op_of(op, "register_kernel")
    if isinstance(op, CustomOpDef):
        return op.register_kernel(device_types, func)
    types = "default" if device_types is None else device_types
    return impl(found.name(), types, func, lib=lib)


def register_fake(op: Any, func: Any = None, /, *, lib: Library | None = None, _stacklevel: int = 1,
                  allow_override: bool = False) -> Any:  # fmt: skip
    """What gives empty results of an operator's shapes and dtypes. Serves as a decorator."""
    found = _op_of(op, "register_fake")

    def register(func: Callable[..., Any]) -> Callable[..., Any]:
        rules_of(found).fake = func
        return func

    return register if func is None else register(func)


impl_abstract = register_fake


def register_autograd(
    op: Any, backward: Callable[..., Any], /, *, setup_context: Any = None, lib: Library | None = None
) -> None:
    """The formula of an operator's gradient (see `CustomOpDef.register_autograd`)."""
    found = _op_of(op, "register_autograd")
    if not is_functional(found._schema):
        raise RuntimeError(
            f"Cannot register autograd formula for non-functional operator {found} with schema {found._schema}. Please create a "
            "functional operator and register an autograd formula for that."
        )
    rules = rules_of(found)
    rules.backward, rules.setup = backward, setup_context


def register_vmap(op: Any, func: Any = None, /, *, lib: Library | None = None) -> Any:
    """How an operator is mapped (see `CustomOpDef.register_vmap`). Serves as a decorator."""
    found = _op_of(op, "register_vmap")

    def register(func: Callable[..., Any]) -> Callable[..., Any]:
        rules_of(found).vmap = func
        return func

    return register if func is None else register(func)


def register_autocast(op: Any, device_type: str, cast_inputs: Any, /, *, lib: Library | None = None) -> None:
    """To which dtype an operator's floating-point arguments are cast under autocast."""
    found = _op_of(op, "register_autocast")
    if device_type not in ("cpu", "cuda"):
        raise ValueError(f"Unknown device type: {device_type}")
    rules_of(found).autocast[device_type] = cast_inputs


def register_torch_dispatch(
    op: Any, torch_dispatch_class: Any, func: Any = None, /, *, lib: Library | None = None
) -> Any:
    """What a dispatch mode of a class makes of an operator. Serves as a decorator."""
    found = _op_of(op, "register_torch_dispatch")

    def register(func: Callable[..., Any]) -> Callable[..., Any]:
        found.kernels[torch_dispatch_class] = func
        return func

    return register if func is None else register(func)


def _op_of(op: Any, caller: str) -> OpOverload:
    if not isinstance(op, (str, OpOverload, CustomOpDef)):
        raise ValueError(f"{caller}({op}): got unexpected type for op: {type(op)}")
    found = overload_for(op)
    if found.namespace == "aten":
        raise NotImplementedError(f"{caller}({op}): aten's operators have their rules already")
    return found  # type: ignore[no-any-return]


class _SafeKernelFunction:
    """An operator's kernel for one dispatch key."""

    def __init__(self, op: OpOverload, kernel: Callable[..., Any]):
        self.op_handle = op
        self._kernel = kernel

    def call_boxed(self, keyset: Any, *args: Any, **kwargs: Any) -> Any:
        """Call it; the keys are not looked at."""
        full, named_ = self.op_handle._schema.filled(self.op_handle._schema.bind(args, kwargs))
        return self._kernel(*full, **named_)

    def __repr__(self) -> str:
        return f"SafeKernelFunction(debug='{getattr(self._kernel, '__module__', '')}')"


def get_kernel(op: Any, dispatch_key: Any) -> _SafeKernelFunction:
    """The kernel of an operator for a dispatch key, to be called by `call_boxed`."""
    found = overload_for(op)
    key = str(dispatch_key).rpartition(".")[2]
    if key not in _KEYS:
        raise ValueError(f"Invalid dispatch key: {key}")
    if found.namespace == "aten":
        return _SafeKernelFunction(found, lambda *args, **kwargs: found._run(found, *args, **kwargs))
    try:
        return _SafeKernelFunction(found, kernel_for(found, key))
    except NotImplementedError:
        raise RuntimeError(f"no kernel for {key} for {found.name()}") from None


def triton_op(name: str, fn: Any = None, /, *, mutates_args: Any, schema: str | None = None) -> Any:
    """An operator as `custom_op` makes them; `wrap_triton` in its function is refused, other kernels may be registered."""
    return custom_op(name, fn, mutates_args=mutates_args, schema=schema)


def wrap_triton(triton_kernel: Any, /) -> Any:
    """Refused: Triton's kernels are compiled for PyTorch's GPU tensors."""
    raise NotImplementedError(
        "torch.library.wrap_triton: Triton kernels cannot run on XLA's arrays. Write the operator with tensor functions, or "
        "register a kernel for this device"
    )


__all__ = [
    "CustomOpDef",
    "Library",
    "custom_op",
    "define",
    "fallthrough_kernel",
    "get_ctx",
    "get_kernel",
    "impl",
    "impl_abstract",
    "infer_schema",
    "opcheck",
    "register_autocast",
    "register_autograd",
    "register_fake",
    "register_kernel",
    "register_torch_dispatch",
    "register_vmap",
    "triton_op",
    "wrap_triton",
]

_explain(globals(), "torch.library")
