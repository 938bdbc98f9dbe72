"""What shows itself only while a script runs: which calls of a model are differentiated, what the optimizer has, what a loss gets."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from .. import compiler
from ..core.context.grad_mode import is_grad_enabled
from ..core.tensor.tensor import Tensor
from ..nn.modules import _hooks
from ..nn.modules.module import Module
from ..nn.parameter import Parameter
from ..optim.optimizer import Optimizer
from ..optim.optimizer import register_optimizer_step_pre_hook as before_each_step
from ..overrides import TorchFunctionMode
from .findings import Finding
from .graphs import ByHand, Kept, leaves, nodes
from .runs import Runs, parameters_of, written

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_STANDARD = sysconfig.get_path("stdlib")
# function -> the functions whose result it should not get, and what to report of them
_TWICE = {
    "cross_entropy": {"SoftmaxBackward0": ("softmax-before-cross-entropy", "softmax")},
    "binary_cross_entropy_with_logits": {"SigmoidBackward0": ("softmax-before-cross-entropy", "sigmoid")},
    "nll_loss": {"SoftmaxBackward0": ("probabilities-in-nll", "softmax")},
}
# what stands between the two and changes no number (squeeze, view, transpose, [:, 0], ...)
_TURNING = re.compile(
    "(Unsafe)?(Squeeze|Unsqueeze|View|Reshape|Transpose|T|Permute|Select|Slice|Alias|Clone|ToCopy)Backward"
)
_CLEARING = frozenset(("zero_", "fill_", "mul_", "copy_", "__imul__"))
_MOVING = frozenset(("__isub__", "__iadd__", "sub_", "add_", "copy_"))


# what runs a model in ways of its own: twice, or in training mode to gather statistics
_RUNNERS = tuple(os.path.join(_OURS, *path) for path in (("utils", "checkpoint"), ("optim", "swa_utils")))


def is_users(file: str) -> bool:
    """Whether a file is neither flambeau's, nor the standard library's, nor a package's."""
    return not (file.startswith((_OURS, _STANDARD, "<")) or "site-packages" in file)


def users_place() -> tuple[str, int]:
    """File and line of the innermost frame that is the user's."""
    frame = sys._getframe(1)
    while frame is not None:
        if is_users(frame.f_code.co_filename):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return "?", 0


def _called_by(files: tuple[str, ...]) -> bool:
    """Whether one of these files is between here and the innermost frame that is the user's."""
    frame = sys._getframe(1)
    while frame is not None and not is_users(frame.f_code.co_filename):
        if frame.f_code.co_filename.startswith(files):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


class Watch(TorchFunctionMode):
    """Sees each function of tensors that is called while it is entered; the rest is hooks, see `watching`."""

    def __init__(self) -> None:
        super().__init__()
        self.findings: list[Finding] = []
        self.runs: Runs = Runs()
        self.cleared: bool = True  # whether gradients were cleared since the last step
        self.held: dict[int, list[Any]] = {}  # by optimizer, the gradients that its last step had
        self.moved: dict[int, Any] = {}  # by parameter, the gradient by which it was last changed by hand
        self.by_hand: ByHand = ByHand()
        self.kept: Kept = Kept()
        self.cut_off: tuple[str, int] | None = None  # where a backward pass has met no parameter, since the last step
        self.depth: int = 0  # of modules within modules

    def find(self, kind: str, place: tuple[str, int], **names: Any) -> None:
        """Note something at a place."""
        self.findings.append(Finding(kind, *place, {name: str(value) for name, value in names.items()}))

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _TWICE and args:
            self._look_at_loss(name, args[0])
        elif name == "backward" and args and isinstance(args[0], Tensor):
            self._look_at_backward(args[0])
        elif name in _CLEARING and args:
            self.cleared = self.cleared or any(args[0] is g for held in self.held.values() for g in held)
            self.moved = {key: grad for key, grad in self.moved.items() if grad is not args[0]}
            self.by_hand.clears(args[0])
        elif name in _MOVING and args and isinstance(args[0], Tensor) and not is_grad_enabled():
            self._look_at_update(args[0])
        return func(*args, **(kwargs or {}))

    def _look_at_update(self, parameter: Tensor) -> None:
        """A parameter is changed by hand: by a gradient that has gathered since the last change?"""
        if not parameter.requires_grad or not parameter.is_leaf:
            return
        grad: Any = parameter.grad
        if grad is None:
            return
        if _is_nonzero(grad) and self.moved.get(id(parameter)) is grad:
            self.find("grad-not-cleared", users_place())
        self.moved[id(parameter)] = grad

    def _look_at_loss(self, name: str, scores: Any) -> None:
        maker = getattr(scores, "grad_fn", None)
        while maker is not None and _TURNING.match(type(maker).__name__):
            maker = maker.next_functions[0][0]
        if maker is None:
            return
        found = _TWICE[name].get(type(maker).__name__)
        if found is None and name == "cross_entropy" and _sum_to_one(scores.detach()):
            found = _TWICE[name]["SoftmaxBackward0"]
        if found is not None:
            self.find(found[0], users_place(), loss=name, function=found[1])
        elif name == "nll_loss" and scores.numel() and float(scores.detach().max()) > 0.01:
            self.find("scores-in-nll", users_place())

    def _look_at_backward(self, loss: Tensor) -> None:
        if loss.grad_fn is None:
            reason = "own-gradient" if loss.requires_grad else "no-grad-fn"
            self.find("constant-loss", users_place(), reason=reason)
            return
        place, met = users_place(), list(nodes(loss.grad_fn))
        ends = leaves(met)
        if not any(isinstance(leaf, Parameter) for leaf in ends):
            self.cut_off = place
        again = [] if self.runs.made else [leaf for leaf in ends if self.by_hand.begins(leaf)]
        if again:
            self.find("grad-not-cleared", place)
        self.runs.differentiated(met)
        if kept := self.kept.passed(met, place, _name_of(loss, "loss")):
            self.find("graph-kept", kept[0], name=kept[1])

    # --- hooks ----------------------------------------------------------------------------------------------------

    def enter_module(self, module: Any, args: Any) -> None:
        """A module begins."""
        self.depth += 1

    def leave_module(self, module: Any, args: Any, output: Any) -> None:
        """A module ends: if it stands in no other, the user has called it."""
        self.depth -= 1
        if self.depth <= 0 and any(True for _ in module.parameters()) and not _called_by(_RUNNERS):
            self.depth = 0
            place = users_place()
            for node in self.runs.called(module, args, output, place):
                self.kept.called(node, place, f"{type(module).__name__}(...)")

    def before_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """An optimizer is about to make a step."""
        place, name = users_place(), _name_of(optimizer, "optimizer")
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        given_closure = len(args) > 1 or "closure" in kwargs  # the first is the optimizer
        if not grads and not given_closure:
            if self.cut_off is not None:
                self.find("constant-loss", self.cut_off, reason="own-gradient")
            else:
                self.find("no-gradients", place, name=name)
        before = self.held.get(id(optimizer), [])
        if not self.cleared and before and any(a is b for a, b in zip(before, grads, strict=False)):
            self.find("no-zero-grad", place, name=name)
        self.held[id(optimizer)] = grads
        self.cleared, self.cut_off = False, None
        self.runs.stepped(optimizer)

    def made(self, optimizer: Any) -> None:
        """An optimizer is made."""
        self.runs.made[id(optimizer)] = optimizer, users_place(), written(optimizer)

    def clears(self, owner: Any) -> None:
        """Gradients are cleared: those of an optimizer's or a module's parameters, which may be none that a step was made by."""
        held = {id(grad) for grads in self.held.values() for grad in grads}
        self.cleared = self.cleared or any(id(p.grad) in held for p in parameters_of(owner))
        self.cut_off = None

    def end(self) -> list[Finding]:
        """All findings, with those that the whole run shows."""
        for kind, place, names in self.runs.findings():
            self.find(kind, place, **names)
        return self.findings


def _name_of(thing: Any, otherwise: str) -> str:
    """The variable that holds an optimizer or a loss where it is used."""
    frame, (file, _) = sys._getframe(1), users_place()
    while frame is not None and frame.f_code.co_filename != file:
        frame = frame.f_back  # type: ignore[assignment]
    found = [] if frame is None else [name for name, value in frame.f_locals.items() if value is thing]
    return found[0] if found else otherwise


def _is_nonzero(gradient: Tensor) -> bool:
    return bool(gradient.detach().ne(0).any())


def _sum_to_one(scores: Tensor) -> bool:
    """Whether these can only be probabilities: several for each row, none below 0, and 1 in all."""
    if scores.dim() == 0 or not scores.is_floating_point():
        return False
    dim = min(1, scores.dim() - 1)
    return scores.size(dim) > 1 and bool((scores >= 0).all()) and bool(((scores.sum(dim) - 1).abs() < 1e-3).all())


@contextlib.contextmanager
def _noted(cls: Any, name: str, note: Callable[[Any], None]) -> Iterator[None]:
    """Tell `note` of each object whose method is called."""
    method = getattr(cls, name)

    @functools.wraps(method)
    def noting(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = method(self, *args, **kwargs)
        note(self)
        return result

    setattr(cls, name, noting)
    try:
        yield
    finally:
        setattr(cls, name, method)


@contextlib.contextmanager
def _direct_calls_seen(watch: Watch) -> Iterator[None]:
    """Warnings of a `forward` that is called past its hooks become findings."""
    shown = warnings.showwarning

    def show(message: Any, category: Any, filename: str, lineno: int, *rest: Any) -> None:
        text = str(message)
        if ".forward(...) was called directly" in text:
            watch.find("direct-forward", (filename, lineno), name=text.partition(".forward")[0])
        else:
            shown(message, category, filename, lineno, *rest)

    with warnings.catch_warnings():
        warnings.filterwarnings("always", message=r".*\.forward\(\.\.\.\) was called directly")
        warnings.showwarning = show  # type: ignore[assignment]
        yield


@contextlib.contextmanager
def watching() -> Iterator[Watch]:
    """Watch what is run inside: uncompiled, so that each line is seen at each call."""
    watch = Watch()
    handles = [
        _hooks.register_module_forward_pre_hook(watch.enter_module),
        _hooks.register_module_forward_hook(watch.leave_module),
        before_each_step(watch.before_step),
    ]
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(compiler.set_stance("force_eager"))
            for cls, name, note in (
                (Optimizer, "__init__", watch.made),
                (Optimizer, "zero_grad", watch.clears),
                (Module, "zero_grad", watch.clears),
                (Module, "load_state_dict", watch.runs.has_loaded),
            ):
                stack.enter_context(_noted(cls, name, note))
            stack.enter_context(_direct_calls_seen(watch))
            stack.enter_context(watch)
            yield watch
    finally:
        for handle in handles:
            handle.remove()


__all__ = ["Watch", "is_users", "users_place", "watching"]
