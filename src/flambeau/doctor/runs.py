"""A record of a run: the user's calls of models by line, which of them were differentiated, and the optimizers' steps."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..core.context.grad_mode import is_grad_enabled
from ..core.tensor import tree
from ..core.tensor.tensor import Tensor
from ..nn.modules._unregistered import unregistered
from ..nn.modules.batchnorm import _BatchNorm
from ..nn.modules.dropout import _DropoutNd
from ..nn.modules.module import Module
from ..nn.parameter import Parameter

Place = tuple[str, int]
_MANY = 200  # calls of one line of which it is asked whether they were differentiated
_MODELS = 8  # of one line that are told apart


@dataclass
class Line:
    """The calls of one model at one line of the user's."""

    model: Any
    calls: int = 0
    differentiated: int = 0
    recorded: int = 0  # with grad mode on, after training or loading
    training: int = 0  # in training mode, after training or loading
    bursts: int = 0  # calls without a step of an optimizer since the one before
    last_step: int = -1
    silent: int = -1  # the number of steps at a call that nobody records, of layers that are in training mode
    evaluated: bool = False  # there were two of them with no step between
    modes: list[bool] = field(default_factory=list)  # in training mode or not, of recorded calls, each change of it


@dataclass
class Runs:
    """What has been called."""

    lines: dict[Place, list[Line]] = field(default_factory=dict)
    pending: list[tuple[Line, Any]] = field(default_factory=list)  # calls, and weak references to their results' nodes
    steps: int = 0
    optimizers: dict[int, Any] = field(default_factory=dict)
    made: dict[int, tuple[Any, Place, int]] = field(default_factory=dict)  # all optimizers, where, and `written` then
    backwards: int = 0
    loaded: dict[int, Any] = field(default_factory=dict)  # models that have got values which somebody has trained

    def _line(self, model: Any, place: Place) -> Line:
        """The record of a model at a line; of the first one there, if it has called many."""
        known = self.lines.setdefault(place, [])
        found = next((line for line in known if line.model is model), None)
        if found is None and len(known) < _MODELS:
            found = Line(model)
            known.append(found)
        return found or known[0]

    def called(self, model: Any, args: Any, output: Any, place: Place) -> list[Any]:
        """The user's line has called a model: the nodes of its result."""
        line = self._line(model, place)
        line.calls += 1
        line.bursts += line.last_step == self.steps
        line.last_step = self.steps
        if is_grad_enabled() and (not line.modes or line.modes[-1] != model.training):
            line.modes.append(model.training)
        nodes = [
            leaf.grad_fn for leaf in tree.flatten(output)[0] if isinstance(leaf, Tensor) and leaf.grad_fn is not None
        ]
        self._in_silence(line)
        if line.differentiated or line.calls > _MANY:
            return nodes
        self.pending += [(line, weakref.ref(node)) for node in nodes]
        if self.steps or not model.training or id(model) in self.loaded:
            line.recorded += bool(nodes) and not _asks(args)
            line.training += model.training and bool(_changing(model))
        return nodes

    def _in_silence(self, line: Line) -> None:
        """One function may both train and evaluate (`with torch.set_grad_enabled(training)`), at one line."""
        if is_grad_enabled() or not line.differentiated or not _changing(line.model):
            line.silent = -1
            return
        line.evaluated = line.evaluated or line.silent == self.steps
        line.silent = self.steps

    def has_loaded(self, model: Any) -> None:
        """A model loads a state, which writes to each of its parameters and is no step."""
        self.loaded[id(model)] = model
        loaded = {id(p) for p in model.parameters()}
        for key, (optimizer, place, before) in self.made.items():
            self.made[key] = optimizer, place, before + sum(id(p) in loaded for p in parameters_of(optimizer))

    def differentiated(self, nodes: list[Any]) -> None:
        """A backward pass goes through these."""
        self.backwards += 1
        if not self.pending:
            return
        met = {id(node) for node in nodes}
        for line, node in self.pending:
            if id(node()) in met:
                line.differentiated += 1
        self.pending = [(line, node) for line, node in self.pending if node() is not None and not line.differentiated]

    def stepped(self, optimizer: Any) -> None:
        """An optimizer makes a step."""
        self.steps += 1
        self.optimizers[id(optimizer)] = optimizer

    # --- at the end -----------------------------------------------------------------------------------------------

    def findings(self) -> Iterator[tuple[str, Place, dict[str, Any]]]:
        """(kind, place, names) of what the whole run shows."""
        models: dict[int, tuple[Place, Line]] = {}
        for place, line in ((place, line) for place, lines in self.lines.items() for line in lines):
            name = type(line.model).__name__
            if line.differentiated:
                models.setdefault(id(line.model), (place, line))
                if line.evaluated:
                    yield (
                        "no-eval",
                        place,
                        {"name": name, "layers": ", ".join(sorted(_changing(line.model, of_both=True)))},
                    )
            elif not self._belongs_to_training(line):
                if line.training:
                    yield "no-eval", place, {"name": name, "layers": ", ".join(sorted(_changing(line.model)))}
                if line.recorded:
                    yield "no-no-grad", place, {"name": name}
        for place, line in models.values():
            if line.modes[:2] == [True, False] and (layers := _changing(line.model, of_both=True)):
                yield "trained-in-eval", place, {"name": type(line.model).__name__, "layers": ", ".join(sorted(layers))}
            yield from self._untrained(line.model, place)
        for optimizer, place, before in self.made.values():
            has_grads = any(p.grad is not None for group in optimizer.param_groups for p in group["params"])
            if not self.steps and self.backwards > 1 and has_grads and written(optimizer) == before:
                yield "no-step", place, {"name": type(optimizer).__name__}

    def _belongs_to_training(self, line: Line) -> bool:
        """Whether a line is called once for each step, as a GAN's generator for the step of the discriminator."""
        return self.steps > 0 and not line.bursts and line.calls > 1 and 2 * line.calls >= self.steps

    def _untrained(self, model: Any, place: Place) -> Iterator[tuple[str, Place, dict[str, Any]]]:
        for path, proper, _ in unregistered(model):
            container = "dict" if proper.endswith("Dict") else "list"
            yield "plain-container", place, {"name": path, "container": container, "proper": proper}
        if not self.optimizers:
            return
        have = {id(p) for o in self.optimizers.values() for g in o.param_groups for p in g["params"]}
        for path, tensor in _plain_tensors(model):
            if id(tensor) not in have:
                yield "plain-tensor", place, {"name": path}
        missing = [
            n for n, p in model.named_parameters() if p.requires_grad and p.grad is not None and id(p) not in have
        ]
        if missing:
            shown = ", ".join(missing[:4]) + (", ..." if len(missing) > 4 else "")
            yield "not-in-optimizer", place, {"count": len(missing), "name": type(model).__name__, "names": shown}


def _plain_tensors(model: Any) -> Iterator[tuple[str, Any]]:
    """(path, tensor) of leaves that ask for gradients and that the module does not know of."""
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if (
                isinstance(value, Tensor)
                and not isinstance(value, Parameter)
                and value.is_leaf
                and value.grad is not None
            ):
                yield f"{path}.{name}" if path else name, value


def _asks(args: Any) -> bool:
    """Whether an argument is a tensor whose own gradient is wanted, as that of an image."""
    return any(isinstance(arg, Tensor) and arg.is_leaf and arg.requires_grad for arg in tree.flatten(args)[0])


def written(optimizer: Any) -> int:
    """How often an optimizer's parameters have been written to."""
    return sum(p._version for p in parameters_of(optimizer))


def parameters_of(owner: Any) -> list[Any]:
    """Those of a module or of an optimizer."""
    if isinstance(owner, Module):
        return list(owner.parameters())
    return [p for group in getattr(owner, "param_groups", ()) for p in group["params"]]


def _changing(model: Any, of_both: bool = False) -> set[str]:
    """Kinds of layers in it whose result depends on the mode, and which are in training mode (or in any, `of_both`)."""
    return {
        type(m).__name__
        for m in model.modules()
        if (m.training or of_both) and (isinstance(m, _BatchNorm) or (isinstance(m, _DropoutNd) and m.p > 0))
    }


__all__ = ["Runs", "parameters_of", "written"]
