"""Computing a part of a network again in the backward pass instead of keeping what it computed.

https://docs.pytorch.org/docs/stable/checkpoint.html
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

from ..autograd import backward as run_backward
from ..core.autograd.function import Function
from ..core.context.grad_mode import enable_grad, no_grad, state
from ..core.dispatch.help import explain_namespace as _explain
from ..core.tensor.tensor import Tensor
from ..core.tensor.tree import flatten
from ..nn.modules.container import Sequential
from ..ops.random.factories import get_rng_state, set_rng_state
from ._recomputation import Around, CheckpointError, Draws, Options, Part, casting, late_tensor, later
from ._selective import (
    SAC_IGNORED_OPS,
    CheckpointPolicy,
    SelectiveCheckpointContext,
    create_selective_checkpoint_contexts,
)

__all__ = [
    "SAC_IGNORED_OPS",
    "CheckpointError",
    "CheckpointFunction",
    "CheckpointPolicy",
    "DefaultDeviceType",
    "GraphExecGroup",
    "SelectiveCheckpointContext",
    "check_backward_validity",
    "checkpoint",
    "checkpoint_sequential",
    "create_selective_checkpoint_contexts",
    "detach_variable",
    "get_device_states",
    "noop_context_fn",
    "set_checkpoint_debug_enabled",
    "set_checkpoint_early_stop",
    "set_device_states",
]


class _Settings:
    """What the context managers below have set for the whole process; None leaves it to each call."""

    early_stop: bool | None = None
    debug: bool | None = None


class GraphExecGroup:
    """A context for several backward passes through one checkpointed part. RuntimeError inside of another one.

    PyTorch computes the part once for all of them. Here each pass does it anew and gives the same gradients.
    """

    _current: ClassVar[GraphExecGroup | None] = None

    def __enter__(self) -> GraphExecGroup:
        held = GraphExecGroup._current
        if held is not None:
            raise RuntimeError(f"GraphExecGroup contexts cannot be nested. Already inside group {held}")
        GraphExecGroup._current = self
        return self

    def __exit__(self, *error: object) -> None:
        GraphExecGroup._current = None

    @classmethod
    def _get_current_group(cls) -> GraphExecGroup | None:
        return cls._current


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Whether parts that are checkpointed meanwhile stop their second run at the last value that is needed."""
    before, _Settings.early_stop = _Settings.early_stop, enable
    try:
        yield
    finally:
        _Settings.early_stop = before


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Whether parts that are checkpointed meanwhile tell what they ran if the second run differs; None: as they say."""
    before, _Settings.debug = _Settings.debug, enabled
    try:
        yield
    finally:
        _Settings.debug = before


def noop_context_fn() -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
    """Two context managers that do nothing, for the first and for the second run."""
    return contextlib.nullcontext(), contextlib.nullcontext()


class DefaultDeviceType:
    """The type of device whose state is kept beside the CPU's; there is one random stream for all devices here."""

    _type = "cpu"

    @staticmethod
    def set_device_type(device: str = "cpu") -> None:
        """Note it."""
        DefaultDeviceType._type = device

    @staticmethod
    def get_device_type() -> str:
        """What was noted, 'cpu' at first."""
        return DefaultDeviceType._type


def check_backward_validity(inputs: Iterable[Any]) -> None:
    """Warn if no tensor among the inputs requires grad."""
    if not any(x.requires_grad for x in inputs if isinstance(x, Tensor)):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


def detach_variable(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs, tensors among them off the tape but requiring grad as they did. RuntimeError if they are no tuple."""
    if not isinstance(inputs, tuple):
        raise RuntimeError(f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}")
    return tuple(x.detach().requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x for x in inputs)


class CheckpointFunction(Function):
    """`use_reentrant=True`: the call is one node, whose backward runs the function again and then backward through it."""

    @staticmethod
    def forward(ctx: Any, run_function: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
        """`run_function(*args)`, of which the tensors among `args` are kept."""
        check_backward_validity(args)
        ctx.run_function, ctx.repeat_draws = run_function, preserve_rng_state
        ctx.draws, ctx.policy, ctx.around = Draws(), state.autocast, Around()
        ctx.others = [(isinstance(a, Tensor), None if isinstance(a, Tensor) else a) for a in args]
        ctx.save_for_backward(*(a for a in args if isinstance(a, Tensor)))
        with ctx.draws.noting():
            return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Run the function again, and backward through it. RuntimeError inside of `.grad()`, or if nothing requires grad."""
        if state.run is not None and state.run.targeted:
            raise RuntimeError(
                "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an `inputs` parameter "
                "to .backward(). To resolve this error, you can either set use_reentrant=False, or call .backward() without "
                "passing the `inputs` argument."
            )
        tensors = iter(ctx.saved_tensors)
        with later([g._array for g in gradients if g is not None]) as late:
            repeating = ctx.draws.repeating(late) if ctx.repeat_draws else contextlib.nullcontext()
            given = tuple(late_tensor(next(tensors), late) if one else other for one, other in ctx.others)
            inputs = detach_variable(given)
            with ctx.around.again(), enable_grad(), repeating, casting(ctx.policy):
                outputs = ctx.run_function(*inputs)
        outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        pairs = [(o, g) for o, g in zip(outputs, gradients, strict=True) if isinstance(o, Tensor) and o.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        run_backward([o for o, _ in pairs], [g for _, g in pairs])
        return (None, None, *(x.grad if isinstance(x, Tensor) else None for x in inputs))


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple[Any, Any]] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """`function(*args, **kwargs)`, of which nothing is kept but the arguments: its backward pass computes it again.

    With `use_reentrant=False`, the result may be anything, and gradients of every order go to all that the function
    used. The tensors among the arguments are kept as they are now. `preserve_rng_state=False` draws other random numbers
    the second time. `context_fn` gives two context managers, for the first and the second run. The second run ends where
    all is computed that is needed, unless `early_stop=False`. CheckpointError if it computes values of another number,
    shape, dtype or device (with `determinism_check="none"`: of another number); `debug=True` adds the operators of both.

    With `use_reentrant=True` (the default still, with a warning), the call is one node: some argument has to require
    grad, the result is a tensor or a tuple of them, `.grad()` and second derivatives are refused or missing.

    Raises ValueError for arguments that go not together.
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. Starting in PyTorch 2.9, "
            "calling checkpoint without use_reentrant will raise an exception. use_reentrant=False is recommended, but if you "
            "need to preserve the current default behavior, you can pass use_reentrant=True. Refer to docs for more details on "
            "the differences between the two variants.",
            stacklevel=2,
        )
        use_reentrant = True
    repeat_draws = kwargs.pop("preserve_rng_state", True)
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug is not False:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        if state.trace is None and state.scope is None and not state.transforms:
            return CheckpointFunction.apply(function, repeat_draws, *args)
        # there, gradients are values, which go through nodes, not what some backward pass adds to `.grad`
        check_backward_validity(args)
        if not any(a.requires_grad for a in args if isinstance(a, Tensor)):
            return no_grad()(function)(*args)
        return Part(function, args, {}, Options(repeat_draws)).first(args, {})
    if determinism_check not in ("default", "none"):
        raise ValueError(f"determinism_check should be one of ['default', 'none'], but got {determinism_check}")
    if _Settings.debug is not None:
        debug = _Settings.debug
    if debug and context_fn is not noop_context_fn:
        raise ValueError("debug=True is incompatible with non-default context_fn")
    first, second = context_fn()
    if not state.grad:
        return function(*args, **kwargs)
    if _Settings.early_stop is not None:
        early_stop = _Settings.early_stop
    options = Options(repeat_draws, determinism_check == "default", early_stop, debug)
    return Part(function, args, kwargs, options, second).first(args, kwargs, first)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """A chain of modules cut into `segments` parts, of which all but the last are checkpointed."""
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be passed explicitly. In version "
            "2.9 we will raise an exception if use_reentrant is not passed. use_reentrant=False is recommended, but if you need "
            "to preserve the current default behavior, you can pass use_reentrant=True. Refer to docs for more details on the "
            "differences between the two variants.",
            stacklevel=2,
        )
        use_reentrant = True
    repeat_draws = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    chain: Sequence[Any] = list(functions.children()) if isinstance(functions, Sequential) else list(functions)
    size = len(chain) // segments

    def part(start: int, stop: int) -> Callable[[Any], Any]:
        def run(value: Any) -> Any:
            for function in chain[start:stop]:
                value = function(value)
            return value

        return run

    end = 0
    for start in range(0, size * (segments - 1), size):
        end = start + size
        input = checkpoint(part(start, end), input, use_reentrant=use_reentrant, preserve_rng_state=repeat_draws)
    return part(end, len(chain))(input)


def get_device_states(*args: Any) -> tuple[list[int], list[Tensor]]:
    """The GPUs on which these tensors lie, and a state of the generator for each: one on the host serves them all."""
    found = sorted({t.get_device() for t in flatten(args)[0] if isinstance(t, Tensor) and t.device.type == "cuda"})
    return found, [get_rng_state() for _ in found]


def set_device_states(devices: list[int], states: list[Tensor], *, device_type: str | None = None) -> None:
    """Make the generator go on from a state that `get_device_states` gave."""
    for held in states[:1]:
        set_rng_state(held)


_explain(globals(), "torch.utils.checkpoint")
