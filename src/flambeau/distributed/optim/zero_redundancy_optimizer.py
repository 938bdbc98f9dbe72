"""An optimizer whose state is shared out among the processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor
from ...nn.parallel.distributed import synchronise
from ...optim.optimizer import Optimizer
from ...processes.groups import chosen
from ...processes.joining import Join, Joinable, JoinHook
from ...processes.objects import all_gather_object

__all__ = ["ZeroRedundancyOptimizer"]


class _Answers(JoinHook):
    def __init__(self, optimizer: ZeroRedundancyOptimizer):
        self.optimizer = optimizer

    def main_hook(self) -> None:
        """Update one's own parameters, and send them."""
        self.optimizer.step()


def _looked_at(params: Any) -> list[Any]:
    """The parameters, or the groups of them. TypeError for anything else, ValueError for none and for two dtypes."""
    wanted = "`params` argument should be an iterable of Tensors"
    if isinstance(params, Tensor):
        raise TypeError(f"{wanted}, but got {params.type()}")
    if not isinstance(params, Iterable):
        raise TypeError(f"{wanted} or dicts, but got {type(params).__name__}")
    given = list(params)
    if not given:
        raise ValueError("ZeroRedundancyOptimizer got an empty parameter list")
    if not all(isinstance(p, Tensor) for p in given) and not all(isinstance(p, dict) for p in given):
        raise TypeError(f"{wanted} or dicts")
    groups = [[p] if isinstance(p, Tensor) else p.get("params", []) for p in given]
    kinds = [p.type() for group in groups for p in ([group] if isinstance(group, Tensor) else group)]
    for kind in kinds:
        if kind != kinds[0]:
            raise ValueError(message("zero_of_two_dtypes", first=kinds[0], second=kind))
    return given


class ZeroRedundancyOptimizer(Optimizer, Joinable):
    """Each process updates some of the parameters, by an optimizer of `optimizer_class` whose state it alone has, and sends them to
    the others. Gradients have to be the same in all processes (DistributedDataParallel's are).

    `parameters_as_bucket_view` changes no number. NotImplementedError for `overlap_with_ddp`.
    """

    def __init__(
        self, params: Any, optimizer_class: type[Optimizer], process_group: Any = None, parameters_as_bucket_view: bool = False,
        overlap_with_ddp: bool = False, **defaults: Any,
    ) -> None:  # fmt: skip
        if overlap_with_ddp:
            raise NotImplementedError(
                "ZeroRedundancyOptimizer(overlap_with_ddp=True): parameters are sent after the step"
            )
        self.process_group: Any = chosen(process_group)
        self.parameters_as_bucket_view = parameters_as_bucket_view
        self._class, self._defaults = optimizer_class, defaults
        self._whole: dict[int, Any] | None = None
        self.optim: Optimizer | None = None
        self._owner: dict[Tensor, int] = {}
        super().__init__(_looked_at(params), defaults)
        self._share_out([p for group in self.param_groups for p in group["params"]])
        self.optim = self._class([self._mine(group) for group in self.param_groups], **self._defaults)
        self._take_options()

    def _share_out(self, parameters: list[Tensor]) -> None:
        """Decide which process updates what: from the largest parameter, each to the one with the least so far."""
        held = [0] * self.process_group.size()
        for parameter, owner in self._owner.items():
            held[owner] += parameter.numel()
        for parameter in sorted(parameters, key=lambda p: -p.numel()):
            least = held.index(min(held))
            self._owner[parameter] = least
            held[least] += parameter.numel()

    def _mine(self, group: dict[str, Any]) -> dict[str, Any]:
        rank = self.process_group.rank()
        return {**group, "params": [p for p in group["params"] if self._owner[p] == rank]}

    def _take_options(self) -> None:
        assert self.optim is not None
        for group, own in zip(self.param_groups, self.optim.param_groups, strict=True):
            group.update({name: value for name, value in own.items() if name != "params"})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take more parameters, which are shared out; those before stay with the processes that have their state."""
        super().add_param_group(param_group)
        if self.optim is not None:
            self._share_out(self.param_groups[-1]["params"])
            self.optim.add_param_group(self._mine(self.param_groups[-1]))
            self._take_options()

    def step(self, closure: Callable[[], Any] | None = None, **kwargs: Any) -> Any:
        """Update one's own parameters, and take the others' from them."""
        Join.notify_join_context(self)
        assert self.optim is not None
        for group, own in zip(self.param_groups, self.optim.param_groups, strict=True):
            own.update({name: value for name, value in group.items() if name != "params"})
        loss = self.optim.step(closure, **kwargs) if closure is not None else self.optim.step(**kwargs)
        for rank in range(self.process_group.size()):
            synchronise([p for p, owner in self._owner.items() if owner == rank], self.process_group, rank)
        return loss

    def _numbers(self) -> dict[Tensor, int]:
        return {p: i for i, p in enumerate(p for group in self.param_groups for p in group["params"])}

    def consolidate_state_dict(self, to: int = 0) -> None:
        """Bring the state of all processes to one of them, for its `state_dict`. All call this."""
        assert self.optim is not None
        numbers = self._numbers()
        mine = {numbers[p]: state for p, state in self.optim.state.items()}
        told: list[Any] = [None] * self.process_group.size()
        all_gather_object(told, mine, self.process_group)
        self._whole = (
            {n: state for some in told for n, state in some.items()} if self.process_group.rank() == to else None
        )

    def state_dict(self) -> dict[str, Any]:
        """The state of all parameters. RuntimeError where `consolidate_state_dict` has not brought it."""
        if self._whole is None:
            start = "Optimizer state has not been consolidated on this rank."
            raise RuntimeError(
                f"{start} Please call `consolidate_state_dict(to={self.process_group.rank()})` on all ranks beforehand if you meant "
                "to save the global state."
            )
        numbers = self._numbers()
        packed = [{**g, "params": [numbers[p] for p in g["params"]]} for g in self.param_groups]
        return {"state": dict(sorted(self._whole.items())), "param_groups": packed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take a whole state: each process keeps that of its own parameters."""
        assert self.optim is not None
        if len(state_dict["param_groups"]) != len(self.param_groups):
            raise ValueError(message("other_number_of_groups"))
        numbers = self._numbers()
        held = self.optim.state_dict()
        own = {i: p for g, n in zip(self.optim.param_groups, held["param_groups"], strict=True)
               for i, p in zip(n["params"], g["params"], strict=True)}  # fmt: skip
        state = {i: state_dict["state"][numbers[p]] for i, p in own.items() if numbers[p] in state_dict["state"]}
        options = [
            {**n, **{k: v for k, v in g.items() if k != "params"}}
            for n, g in zip(held["param_groups"], state_dict["param_groups"], strict=True)
        ]
        self.optim.load_state_dict({"state": state, "param_groups": options})
        for group, mine in zip(self.param_groups, self.optim.param_groups, strict=True):
            group.update({name: value for name, value in mine.items() if name != "params"})

    def join_hook(self, **kwargs: Any) -> JoinHook:
        """What a process that is through does."""
        return _Answers(self)

    @property
    def join_device(self) -> Any:
        """The parameters' device."""
        return self.param_groups[0]["params"][0].device

    @property
    def join_process_group(self) -> Any:
        """The group that parameters are sent in."""
        return self.process_group
