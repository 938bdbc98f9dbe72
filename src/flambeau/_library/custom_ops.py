"""`torch.library.custom_op`: a Python function as an operator with a schema, rules and kernels."""

from __future__ import annotations

import contextlib
import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..core.array.devices import device as _device
from ..core.context.grad_mode import state as grad_state
from ..core.dispatch.overloads import define, kernels_of, named, ops
from ..core.dispatch.schema import parse
from ..core.tensor.tensor import Tensor
from .calls import rules_of, run
from .infer_schema import infer_schema

_log = logging.getLogger(__name__)


def split_name(qualname: str) -> tuple[str, str]:
    """Namespace and name. ValueError if it is not `namespace::name`."""
    parts = qualname.split("::")
    if len(parts) != 2:
        raise ValueError(
            f'Expected `qualname` to be of the form "namespace::name", but got {qualname}. The qualname passed to the '
            "torch.library APIs must consist of a namespace and a name, e.g. aten::sin"
        )
    return parts[0], parts[1]


class CustomOpDef:
    """An operator that `custom_op` has made. Called, it is the operator.

    `register_kernel`, `register_fake`, `register_autograd`, `register_vmap`, `register_autocast` and `register_torch_dispatch` say
    what it does elsewhere.
    """

    def __init__(self, namespace: str, name: str, schema: str, fn: Callable[..., Any], tags: Sequence[Any] = ()):
        self._namespace, self._name, self._schema = namespace, name, schema
        self._init_fn = fn
        self._backend_fns: dict[str | None, Callable[..., Any]] = {}
        self._disabled_kernel: set[str] = set()
        ops_of = getattr(ops, namespace)
        if name in ops_of._packets:  # defined anew, as a notebook's cell does it
            ops_of.forget(name, "default")
            kernels_of(self._qualname).clear()
        self._opoverload = define(f"{name}{schema}", namespace, run)
        self._opoverload._tags = list(tags)
        rules = rules_of(self._opoverload)
        rules.custom, rules.name = True, name
        rules.home = inspect.getmodule(fn)  # type: ignore[attr-defined]

    @property
    def _qualname(self) -> str:
        return f"{self._namespace}::{self._name}"

    def __repr__(self) -> str:
        return f"<CustomOpDef({self._qualname})>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._opoverload(*args, **kwargs)

    def register_kernel(self, device_types: Any, fn: Callable[..., Any] | None = None, /) -> Any:
        """What computes the operator on a device type such as "cpu" (None: on all). Serves as a decorator."""

        def inner(fn: Callable[..., Any]) -> Callable[..., Any]:
            given = [device_types] if device_types is None or isinstance(device_types, str) else list(device_types)
            for kind in given:
                if kind is not None:
                    _device(kind)
                self._backend_fns[kind] = fn
                key = "CompositeExplicitAutograd" if kind is None else kind.upper()
                self._opoverload.kernels[key] = self._switch(kind)
            return fn

        return inner if fn is None else inner(fn)

    def _switch(self, kind: str | None) -> Callable[..., Any]:
        def kernel(*args: Any, **kwargs: Any) -> Any:
            held = self._init_fn if kind in self._disabled_kernel else self._backend_fns[kind]
            result = held(*args, **kwargs)
            if grad_state.trace is None:
                for tensor in self._written(args, kwargs):
                    tensor._storage.version += 1  # beside the writes that the kernel does with torch's functions
            return result

        return kernel

    def _written(self, args: Any, kwargs: Any) -> list[Tensor]:
        """The tensors among the arguments that the schema says are written to."""
        found: list[Tensor] = []
        for place, argument in enumerate(self._opoverload._schema.arguments):
            if argument.is_write:
                value = args[place] if place < len(args) else kwargs.get(argument.name)
                parts = value if isinstance(value, (list, tuple)) else [value]
                found += [part for part in parts if isinstance(part, Tensor)]
        return found

    def set_kernel_enabled(self, device_type: str, enabled: bool = True) -> Any:
        """Turns the kernel of a device type off, or on again, at once and until the `with` block ends."""

        @contextlib.contextmanager
        def switched() -> Iterator[None]:
            before = set(self._disabled_kernel)
            if device_type not in self._backend_fns:
                _log.warning(
                    "Attempted to %s kernel for %s but no kernel was registered for this device type.",
                    "enable" if enabled else "disable",
                    device_type,
                )
            elif enabled:
                self._disabled_kernel.discard(device_type)
            else:
                self._disabled_kernel.add(device_type)
            try:
                yield
            finally:
                self._disabled_kernel.clear()
                self._disabled_kernel.update(before)

        return switched()

    def register_fake(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """What gives empty results of the right shapes and dtypes."""
        rules_of(self._opoverload).fake = fn
        return fn

    def register_autograd(
        self, backward: Callable[..., Any], /, *, setup_context: Callable[..., Any] | None = None
    ) -> None:
        """The gradient's formula: `backward(ctx, *grads)` gives a gradient (or None) for each argument.

        `setup_context(ctx, inputs, output)` keeps what it needs. RuntimeError if the operator writes to its arguments.
        """
        schema = self._opoverload._schema
        if not is_functional(schema):
            raise RuntimeError(
                f"Cannot register autograd formula for non-functional operator {self} with schema {schema}. Please create a "
                "functional operator and register an autograd formula for that."
            )
        rules = rules_of(self._opoverload)
        rules.backward, rules.setup = backward, setup_context

    def register_vmap(self, func: Callable[..., Any] | None = None) -> Any:
        """How it is mapped: `func(info, in_dims, *args)` gives the results and where they have the samples."""

        def register(func: Callable[..., Any]) -> Callable[..., Any]:
            rules_of(self._opoverload).vmap = func
            return func

        return register if func is None else register(func)

    def register_autocast(self, device_type: str, cast_inputs: Any) -> None:
        """To which dtype floating-point arguments are cast under autocast."""
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        if device_type not in ("cpu", "cuda"):
            raise ValueError(f"Unknown device type: {device_type}")
        rules_of(self._opoverload).autocast[device_type] = cast_inputs

    def register_torch_dispatch(self, torch_dispatch_class: Any, fn: Callable[..., Any] | None = None, /) -> Any:
        """What a dispatch mode of this class makes of the operator: `fn(mode, func, types, args, kwargs)`."""

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._opoverload.kernels[torch_dispatch_class] = fn
            return fn

        return register if fn is None else register(fn)

    def register_effect(self, effect: Any) -> None:
        """Refused: effects order operators in graphs that are not made here."""
        raise NotImplementedError("register_effect() is not there: operators run in the order of the program")


def is_functional(schema: Any) -> bool:
    """Whether an operator writes to nothing and gives no views."""
    return not any(a.alias_info is not None for a in (*schema.arguments, *schema.returns))


def custom_op(
    name: str,
    fn: Callable[..., Any] | None = None,
    /,
    *,
    mutates_args: Any,
    device_types: Any = None,
    schema: str | None = None,
    tags: Sequence[Any] | None = None,
) -> Any:
    """Make an operator `namespace::name` of a function of tensors and numbers. Serves as a decorator.

    Its schema comes from the annotations (see `infer_schema`), or is given. Gradients stop at it until `register_autograd`
    says how they go on. Results may not share memory with arguments (RuntimeError).
    """

    def inner(fn: Callable[..., Any]) -> CustomOpDef:
        text = infer_schema(fn, mutates_args=mutates_args) if schema is None else schema
        namespace, base = name.split("::")
        if schema is not None:
            _check_written(schema, namespace, base, mutates_args)
        made = CustomOpDef(namespace, base, text, fn, tags or ())
        made.register_kernel(device_types)(fn)
        return made

    return inner if fn is None else inner(fn)


def _check_written(schema: str, namespace: str, base: str, mutates_args: Any) -> None:
    if not schema.lstrip().startswith("("):
        raise ValueError(
            f"custom_op(schema=...): expected a schema without a name, '(Tensor x) -> Tensor', got {schema!r}"
        )
    written = {a.name for a in parse(base + schema, namespace).arguments if a.is_write}
    if mutates_args != "unknown" and written != set(mutates_args if isinstance(mutates_args, Iterable) else ()):
        raise ValueError(
            f"Attempted to create a custom op with `mutates_args={mutates_args}` and `schema={schema}. The schema suggests that "
            f"the op mutates {written}which is different from what was provided to us in `mutates_args`. Please make these "
            "consistent."
        )


def overload_for(op: Any) -> Any:
    """The operator of a name, a CustomOpDef or an overload. RuntimeError if there is none of this name."""
    if isinstance(op, CustomOpDef):
        return op._opoverload
    if isinstance(op, str):
        split_name(op.partition(".")[0])
        found = named(op)
        if found is None:
            raise RuntimeError(f"operator {op} does not exist")
        return found
    if hasattr(op, "_schema"):
        return op
    raise ValueError(f"expected an operator's name, a CustomOpDef or an OpOverload, got {type(op)}")


__all__ = ["CustomOpDef", "custom_op", "is_functional", "overload_for", "split_name"]
