"""What a call of a registered operator runs: a kernel for the device, under the rules for gradients, batches and shapes."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from ..core.autograd.function import Function
from ..core.context.grad_mode import state as grad_state
from ..core.dispatch.overloads import OpOverload, running
from ..core.tape.nodes import is_differentiable
from ..core.tensor.tensor import Tensor
from ..core.tensor.tree import flatten, unflatten
from .callbacks import calling_back


class Rules:
    """What was registered for an operator beside its kernels."""

    def __init__(self, name: str) -> None:
        self.name = name  # as errors call who registered it
        self.backward: Callable[..., Any] | None = None
        self.setup: Callable[..., Any] | None = None
        self.vmap: Callable[..., Any] | None = None
        self.fake: Callable[..., Any] | None = None
        self.autocast: dict[str, Any] = {}  # dtype by device type
        self.custom = False  # made by custom_op: results share no memory, and are constants where no formula is known
        self.checked: Any = None


def rules_of(op: OpOverload) -> Rules:
    """What was registered for an operator; made if nothing was."""
    found = op.__dict__.get("rules")
    if found is None:
        found = op.rules = Rules(op._opname)  # type: ignore[attr-defined]
    return found


class below_autograd:
    """Inside, kernels that were registered for autograd are passed over, and nothing is recorded."""

    def __enter__(self) -> None:
        self._before = grad_state.grad
        grad_state.grad = False
        running.below_autograd += 1

    def __exit__(self, *exc: object) -> None:
        running.below_autograd -= 1
        grad_state.grad = self._before


class without_keys:
    """Inside, kernels of these keys are passed over: those of autocast can be."""

    def __init__(self, keys: Any) -> None:
        names = [key.name for key in keys._keys]
        if not all(name.startswith("Autocast") for name in names):
            raise NotImplementedError(
                f"_ExcludeDispatchKeyGuard: only keys of autocast can be passed over here, not {names}"
            )

    def __enter__(self) -> None:
        self._before, grad_state.autocast = grad_state.autocast, None

    def __exit__(self, *exc: object) -> None:
        grad_state.autocast = self._before


ExcludeDispatchKeyGuard = without_keys


def policy_is_on(device: str) -> bool:
    """Whether autocast is on for a kind of device."""
    return device in dict(grad_state.autocast.lower)


def run(op: OpOverload, /, *given: Any, **named: Any) -> Any:
    """Call a registered operator."""
    schema, rules = op._schema, rules_of(op)
    args, kwargs = schema.filled(schema.bind(given, named))
    for i, argument in enumerate(a for a in schema.arguments if not a.kwarg_only):
        if argument.declared.base == "float" and type(args[i]) is int:
            args[i] = float(args[i])
    tensors = [t for t in flatten((args, kwargs))[0] if isinstance(t, Tensor)]
    device = tensors[0].device.type if tensors else "cpu"
    kernels = op.kernels
    if device == "meta":
        return shapes_of(op, args, kwargs)
    if not running.below_autograd:
        above = kernels.get("Autograd" + device.upper()) or kernels.get("Autograd")
        if above is not None:
            args, kwargs = _without_defaults(op, args, kwargs)
            return returned(op, above(*args, **kwargs))
    if grad_state.autocast is not None:
        if device in rules.autocast:
            return _autocast(op, rules.autocast[device], args, kwargs)
        above = kernels.get("Autocast" + device.upper())
        if above is not None and policy_is_on(device):
            args, kwargs = _without_defaults(op, args, kwargs)
            return returned(op, above(*args, **kwargs))
    found = kernel_for(op, device.upper())

    def kernel(*args: Any, **kwargs: Any) -> Any:
        left, named_ = _without_defaults(op, args, kwargs)
        return found(*left, **named_)

    if grad_state.trace is not None:
        kernel = calling_back(op, kernel, shapes_of)
    if found is kernels.get("CompositeImplicitAutograd"):
        return returned(op, kernel(*args, **kwargs))
    if schema.is_mutable:
        with below_autograd():
            return returned(op, kernel(*args, **kwargs))
    if rules.backward is None and not rules.custom and rules.vmap is None:
        return _warning(op, returned(op, kernel(*args, **kwargs)))
    return _recorded(op, kernel, args, kwargs)


def _without_defaults(op: OpOverload, args: Any, kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    """The arguments without those at the end that are the schema's defaults: a kernel need not have them."""
    arguments = op._schema.arguments
    left = list(args)
    for argument in reversed([a for a in arguments if not a.kwarg_only]):
        if not argument.has_default or isinstance(left[-1], Tensor) or left[-1] != argument.default_value:
            break
        left.pop()
    defaults = {a.name: a.default_value for a in arguments if a.kwarg_only and a.has_default}
    differs = lambda k, v: k not in defaults or isinstance(v, Tensor) or v != defaults[k]  # noqa: E731
    return left, {k: v for k, v in kwargs.items() if differs(k, v)}


def kernel_for(op: OpOverload, key: str) -> Callable[..., Any]:
    """The kernel of a dispatch key; NotImplementedError if there is none."""
    kernels = op.kernels
    for wanted in (key, "CompositeExplicitAutograd", "CompositeImplicitAutograd"):
        if wanted in kernels:
            return kernels[wanted]  # type: ignore[no-any-return]
    known = ", ".join(k for k in kernels if isinstance(k, str))
    raise NotImplementedError(
        f"Could not run '{op.name()}' with arguments from the '{key}' backend. This could be because the operator doesn't "
        f"exist for this backend, or was omitted during the selective/custom build process (if using custom build). "
        f"'{op.name()}' is only available for these backends: [{known}]."
    )


def returned(op: OpOverload, result: Any) -> Any:
    """A kernel's result as the schema says that it is; RuntimeError if it is not."""
    returns = op._schema.returns
    if not returns:
        return None
    if len(returns) == 1 and op._schema._text.endswith(returns[0].text):
        if returns[0].declared.text == "Tensor" and not isinstance(result, Tensor):
            raise RuntimeError(f"Unable to cast {result} to Tensor")
        return list(result) if returns[0].declared.text == "Tensor[]" else result
    if not isinstance(result, (tuple, list)) or len(result) != len(returns):
        raise RuntimeError(f"{op._schema.name}: expected {len(returns)} results, as in {op._schema}, got {result!r}")
    return tuple(result)


def shapes_of(op: OpOverload, args: Any, kwargs: Any) -> Any:
    """The results' shapes and dtypes, by what was registered for them."""
    rules = rules_of(op)
    fake = op.kernels.get("Meta") or rules.fake
    if fake is not None:
        return returned(op, fake(*args, **kwargs))
    implicit = op.kernels.get("CompositeImplicitAutograd")
    if implicit is not None:
        return returned(op, implicit(*args, **kwargs))
    if rules.custom:
        raise RuntimeError(missing_fake(op))
    raise NotImplementedError(
        f"{op._schema.name}: attempted to run this operator with Meta tensors, but there was no fake impl or Meta kernel "
        "registered: add one with torch.library.register_fake"
    )


def missing_fake(op: OpOverload) -> str:
    """The error for an operator whose results' shapes nobody knows."""
    return (
        f"There was no fake impl registered for <CustomOpDef({op._schema.name})>. This is necessary for "
        f"torch.compile/export/fx tracing to work. Please use `{rules_of(op).name}.register_fake` to add an fake impl."
    )


def _autocast(op: OpOverload, dtype: Any, args: Any, kwargs: Any) -> Any:
    def cast(value: Any) -> Any:
        wanted = isinstance(value, Tensor) and value.is_floating_point() and value.itemsize < 8
        return value.to(dtype) if wanted else value

    leaves, spec = flatten((args, kwargs))
    args, kwargs = unflatten([cast(v) for v in leaves], spec)
    before, grad_state.autocast = grad_state.autocast, None
    try:
        return run(op, *args, **kwargs)
    finally:
        grad_state.autocast = before


def _warning(op: OpOverload, result: Any) -> Any:
    """Results whose gradient is that of whatever the kernel did, with a warning when it is used."""

    def warn(gradient: Tensor) -> None:
        warnings.warn(
            f"{op._schema.name}: an autograd kernel was not registered to the Autograd key(s) but we are trying to backprop "
            "through it. This may lead to silently incorrect behavior. If your operator is differentiable, please ensure you "
            "have registered an autograd kernel to the correct Autograd key (e.g. DispatchKey::Autograd, "
            "DispatchKey::CompositeImplicitAutograd), or use torch.library.register_autograd.",
            UserWarning,
            stacklevel=2,
        )

    for value in flatten(result)[0]:
        if isinstance(value, Tensor) and value.grad_fn is not None:
            value.register_hook(warn)
    return result


# --- on the tape -----------------------------------------------------------------------------------------------------


class _Call:
    """One call: how its arguments are put together from what the Function is given, and where its results go."""

    def __init__(self, op: OpOverload, kernel: Callable[..., Any], spec: Any):
        self.op, self.kernel, self.spec = op, kernel, spec
        self.out: Any = None


def _recorded(op: OpOverload, kernel: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    leaves, spec = flatten((args, kwargs))
    call = _Call(op, kernel, spec)
    made = _function(op, rules_of(op).vmap is not None).apply(call, *leaves)
    made = list(made) if isinstance(made, (tuple, list)) else [made]
    return unflatten(made, call.out)


def _function(op: OpOverload, mapped: bool) -> type[Function]:
    cache = op.__dict__.setdefault("functions", {})
    found = cache.get(mapped)
    if found is None:
        methods: dict[str, Any] = {"forward": _forward, "setup_context": _setup, "backward": _backward}
        if mapped:
            methods["vmap"] = _vmap
        name = f"GeneratedBackwardFor_{op.namespace}_{op._opname}_{op._overloadname}"
        found = cache[mapped] = type(name, (Function,), {k: staticmethod(f) for k, f in methods.items()})
    return found


def _forward(call: _Call, *leaves: Any) -> Any:
    args, kwargs = unflatten(list(leaves), call.spec)
    with below_autograd():
        result = returned(call.op, call.kernel(*args, **kwargs))
    outputs, call.out = flatten(result)
    if rules_of(call.op).custom:
        _refuse_aliases(call.op, [v for v in leaves if isinstance(v, Tensor)], outputs)
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


def _refuse_aliases(op: OpOverload, inputs: list[Tensor], outputs: list[Any]) -> None:
    seen = {id(t._storage) for t in inputs}
    for value in outputs:
        if not isinstance(value, Tensor):
            continue
        if id(value._storage) in seen:
            raise RuntimeError(
                f"{op._opname} (with implementation in {getattr(rules_of(op), 'home', None)}): The output of this custom "
                "operator (1) must not also be an input to this custom operator and (2) may not alias any inputs to this custom "
                "operator or other returns. The most common way to trigger this error is if we have y = custom_op(x) and y and x "
                "are the same Tensor. Please instead return a clone of the offending output tensor(s) (e.g. return x.clone()) "
                "or refactor the custom operator to not return y."
            )
        seen.add(id(value._storage))


def _needs(call: _Call, flags: list[bool]) -> Any:
    """Which arguments need a gradient, one for each; a tuple for a list of tensors."""

    def plain(tree: Any) -> Any:
        return tuple(map(plain, tree)) if isinstance(tree, (list, tuple)) else tree

    args, _ = unflatten(flags, call.spec)
    return tuple(map(plain, args))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    call, *leaves = inputs
    rules = rules_of(call.op)
    ctx.flambeau_call = call
    flags = list(ctx.needs_input_grad[1:])
    ctx.needs_input_grad = _needs(call, flags)
    if rules.setup is None:
        return
    args, kwargs = unflatten(list(leaves), call.spec)
    outputs = list(output) if isinstance(output, (tuple, list)) else [output]
    result = unflatten(outputs, call.out)
    if kwargs:
        rules.setup(ctx=ctx, inputs=tuple(args), keyword_only_inputs=kwargs, output=result)
    else:
        rules.setup(ctx=ctx, inputs=tuple(args), output=result)


def _backward(ctx: Any, *gradients: Any) -> Any:
    call = ctx.flambeau_call
    rules = rules_of(call.op)
    if rules.backward is None:
        raise RuntimeError(
            f"Trying to backward through {call.op} but no autograd formula was registered. Please use register_autograd to "
            "add one."
        )
    results = rules.backward(ctx, *_by_result(call, gradients))
    results = list(results) if isinstance(results, tuple) else [results]
    args, kwargs = unflatten(list(range(sum(1 for _ in _leaves(call.spec)))), call.spec)
    if len(results) != len(args):
        raise RuntimeError(
            f"function {type(ctx).__name__} returned an incorrect number of gradients (expected {len(args)}, got {len(results)})"
        )
    found: list[Any] = []
    for argument, gradient in zip(args, results, strict=True):
        wide = isinstance(argument, (list, tuple))
        if wide and isinstance(gradient, (list, tuple)):
            if len(gradient) != len(argument):
                raise RuntimeError(
                    f"{call.op}: the gradient of a list of {len(argument)} tensors has to be a list of as many, got {gradient}"
                )
            found.extend(gradient)
        else:
            found.extend([gradient] if not wide else [gradient] * len(argument))
    return (None, *found, *(None for _ in flatten(kwargs)[0]))


def _leaves(spec: Any) -> Iterator[Any]:
    if spec.kind is None:
        yield spec
    for part in spec.parts:
        yield from _leaves(part)


def _by_result(call: _Call, gradients: Any) -> Any:
    """The gradients in the structure of the results; a list of tensors has a list of gradients."""
    made = unflatten(list(gradients), call.out)
    return made if isinstance(made, tuple) else (made,)


def _vmap(info: Any, in_dims: Any, call: _Call, *leaves: Any) -> Any:
    args, kwargs = unflatten(list(leaves), call.spec)
    dims, _ = unflatten(list(in_dims[1:]), call.spec)

    def plain(tree: Any) -> Any:
        return type(tree)(map(plain, tree)) if isinstance(tree, (list, tuple)) else tree

    results, places = rules_of(call.op).vmap(info, tuple(plain(dims)), *args, **kwargs)  # type: ignore[misc]
    outputs, call.out = flatten(results)
    where, _ = flatten(places)
    where = where * len(outputs) if len(where) == 1 else where
    if len(outputs) == 1:
        return outputs[0], where[0]
    return tuple(outputs), tuple(where)


# --- what fake implementations may ask ------------------------------------------------------------------------------


class FakeImplCtx:
    """What `torch.library.get_ctx()` gives while shapes are computed: sizes that depend on values."""

    def __init__(self, sizes: Any = ()) -> None:
        self.made: list[int] = []
        self._sizes = sizes

    def new_dynamic_size(self, *, min: int = 0, max: int | None = None) -> int:
        """A size that nobody knows: a number of its own for each."""
        number = _STRANGE[len(self.made) % len(_STRANGE)]
        if max is not None and max < number:
            number = max
        self.made.append(builtins_max(number, min))
        return self.made[-1]

    create_unbacked_symint = new_dynamic_size


builtins_max = max
_STRANGE = (8191, 8179, 8171, 8167, 8161)  # primes that no test's sizes are
_contexts: list[FakeImplCtx] = []


@contextlib.contextmanager
def fake_context() -> Iterator[FakeImplCtx]:
    """Inside, `get_ctx()` has an answer."""
    made = FakeImplCtx()
    _contexts.append(made)
    try:
        yield made
    finally:
        _contexts.pop()


def get_ctx() -> FakeImplCtx | None:
    """The context of the fake implementation that `opcheck` looks at now; None outside of one."""
    return _contexts[-1] if _contexts else None


def is_float(value: Any) -> bool:
    """Whether a value is a tensor that can have a gradient."""
    return isinstance(value, Tensor) and is_differentiable(value._np_dtype)


__all__ = ["FakeImplCtx", "Rules", "below_autograd", "get_ctx", "kernel_for", "rules_of", "run"]
