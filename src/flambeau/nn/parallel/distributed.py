"""DistributedDataParallel: each process has the module and a part of the batch, gradients are averaged."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ...core.array.dtypes import float16
from ...core.context.grad_mode import no_grad
from ...core.context.grad_mode import state as grad_state
from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor
from ...processes.buckets import Averaging, GradBucket, averaged, by_dtype, flattened, parts
from ...processes.collectives import broadcast
from ...processes.groups import ReduceOp, chosen
from ...processes.joining import Join, Joinable, JoinHook, agreed
from ...processes.objects import all_gather_object
from ...processes.options import BuiltinCommHookType
from ..modules.module import Module
from ..modules.sparse import Embedding, EmbeddingBag

__all__ = ["DistributedDataParallel"]

_MEGA = 1024 * 1024


def synchronise(tensors: list[Tensor], group: Any, root: int = 0) -> None:
    """Give all ranks the values of one rank's tensors."""
    if group.size() == 1:
        return
    with no_grad():
        for some in by_dtype([t for t in tensors if t.numel()], 250 * _MEGA):
            flat = flattened(some)
            broadcast(flat, group=group, group_src=root)
            for tensor, value in zip(some, parts(flat, some), strict=True):
                tensor.detach().copy_(value)


def _same_everywhere(parameters: Sequence[tuple[str, Tensor]], group: Any) -> None:
    """RuntimeError if the ranks' modules have other parameters."""
    mine = [(name, list(p.shape), str(p.dtype)) for name, p in parameters]
    theirs: list[Any] = [None] * group.size()
    all_gather_object(theirs, mine, group)
    for number, other in enumerate(theirs):
        rank = group.ranks[number]
        if len(other) != len(mine):
            raise RuntimeError(
                f"DDP expects same model across all ranks, but Rank {group.exchange.rank} has {len(mine)} params, while rank {rank} has "
                f"inconsistent {len(other)} params."
            )
        for i, (here, there) in enumerate(zip(mine, other, strict=True)):
            if here[1:] != there[1:]:
                raise RuntimeError(
                    f"[Rank {group.exchange.rank}]: params[{i}] in this process with sizes {here[1]} appears not to match sizes of the same "
                    f"param in process {rank}: {here[0]} is {here[2]} here, {there[0]} is {there[2]} {there[1]} there."
                )


class DistributedDataParallel(Module, Joinable):
    """Holds `module` under that name, with rank 0's parameters in all ranks. A backward pass leaves the average of all ranks' gradients.

    The gradients are averaged in buckets of some `bucket_cap_mb` (25) in the order of the backward pass, each as soon as it
    is complete. Before a forward pass the ranks take rank 0's buffers, unless `broadcast_buffers=False` or the
    pass before was in `no_sync` or without gradients. Parameters that
    a loss may not depend on need `find_unused_parameters=True`.
    ValueError before `init_process_group`; RuntimeError for a module of which no parameter requires a gradient, and if the
    ranks' modules differ.
    """

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0, broadcast_buffers: bool | None = None,
        init_sync: bool = True, process_group: Any = None, bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False, check_reduction: bool = False, gradient_as_bucket_view: bool = False,
        static_graph: bool = False, delay_all_reduce_named_params: Any = None, param_to_hook_all_reduce: Any = None,
        mixed_precision: Any = None, device_mesh: Any = None, skip_all_reduce_unused_params: bool = False,
        bucket_cap_mb_list: Any = None, batched_grad_copy: bool = False, forward_sync_buffers: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        _refuse(
            mixed_precision=mixed_precision, delay_all_reduce_named_params=delay_all_reduce_named_params,
            param_to_hook_all_reduce=param_to_hook_all_reduce, bucket_cap_mb_list=bucket_cap_mb_list,
        )  # fmt: skip
        if device_mesh is not None:
            if process_group is not None:
                raise RuntimeError("Cannot specify both process_group and device_mesh arguments.")
            process_group = device_mesh.get_group()
        self.process_group: Any = chosen(process_group)
        self._ignored = set(getattr(module, "_ddp_params_and_buffers_to_ignore", ()))
        named = [(n, p) for n, p in module.named_parameters() if n not in self._ignored]
        trained = [(name, p) for name, p in named if p.requires_grad]
        if not trained:
            raise RuntimeError(
                f"{type(self).__name__} is not needed when a module doesn't have any parameter that requires a gradient."
            )
        if device_ids is not None and len(device_ids) > 1:
            raise ValueError(message("device_ids_of_one"))
        places = {p.device for _, p in named}
        if (device_ids or output_device is not None) and any(place.type == "cpu" for place in places):
            raise ValueError(
                message("device_ids_of_cpu", device_ids=device_ids, output_device=output_device, places=places)
            )
        self.module = module
        self.device_ids = device_ids
        self.output_device = output_device
        self.dim = dim
        self.device: Any = next(iter(module.parameters())).device
        self.device_type: str = self.device.type
        self.is_multi_device_module: bool = len({p.device for p in module.parameters()}) > 1
        self.broadcast_buffers: bool = True if broadcast_buffers is None else broadcast_buffers
        if forward_sync_buffers is not None:
            self.broadcast_buffers = forward_sync_buffers
        self.find_unused_parameters = find_unused_parameters
        self.gradient_as_bucket_view = gradient_as_bucket_view
        self.static_graph = static_graph
        self.require_backward_grad_sync: bool = True
        self.require_forward_param_sync: bool = True
        self.bucket_cap_mb = 25 if bucket_cap_mb is None else bucket_cap_mb
        self._averaging: Averaging | None = None
        if self.process_group.size() > 1:
            _same_everywhere(named, self.process_group)
            if init_sync:
                synchronise([*(p for _, p in named), *self._buffers_to_send()], self.process_group)
            self._start(trained)

    def _start(self, trained: Sequence[tuple[str, Tensor]]) -> None:
        names, parameters = [name for name, _ in trained], [*(p for _, p in trained)]
        unused = self.find_unused_parameters or self.static_graph
        cap = max(self.bucket_bytes_cap, 1)
        layers = (m for m in self.module.modules() if isinstance(m, (Embedding, EmbeddingBag)) and m.sparse)
        sparse = [m.weight for m in layers]
        self._averaging = Averaging(names, parameters, self.process_group, cap, unused, self._averages, sparse)

    def _trained(self) -> list[tuple[str, Tensor]]:
        return [(n, p) for n, p in self.module.named_parameters() if p.requires_grad and n not in self._ignored]

    @property
    def bucket_bytes_cap(self) -> int:
        """How many bytes go into a bucket."""
        return int(self.bucket_cap_mb * _MEGA)

    @staticmethod
    def _set_params_and_buffers_to_ignore_for_model(module: Module, params_and_buffers_to_ignore: Any) -> None:
        module._ddp_params_and_buffers_to_ignore = params_and_buffers_to_ignore

    def _set_static_graph(self) -> None:
        """What `static_graph=True` says, after the fact."""
        self.static_graph = True
        if self._averaging is not None:
            self._averaging.unused = True

    def _averages(self) -> bool:
        return self.require_backward_grad_sync

    def _buffers_to_send(self) -> list[Tensor]:
        return [b for name, b in self.module.named_buffers() if name not in self._ignored]

    def _send_buffers(self, root: int) -> None:
        if self.broadcast_buffers and (held := self._buffers_to_send()):
            synchronise(held, self.process_group, root)

    def _before_forward(self) -> None:
        """What comes before the module's forward pass: buffers, and a look at the last backward pass."""
        if self._averaging is not None:
            root = self._begin_joined() if self._join_config.enable else 0
            averages = grad_state.grad and self.require_backward_grad_sync
            if averages:
                self._averaging.check()
            if self.require_forward_param_sync:
                self._send_buffers(root)
            if averages is not self.require_forward_param_sync:
                self.require_forward_param_sync = averages

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        self._before_forward()
        return self.module(*inputs, **kwargs)

    def _get_ddp_logging_data(self) -> dict[str, Any]:
        """What is known of this wrapper, by PyTorch's keys; what is measured there is left out."""
        trained = [p for _, p in self._trained()]
        return {
            "backend_name": self.process_group.name(),
            "module_name": type(self.module).__name__,
            "broadcast_buffers": int(self.broadcast_buffers),
            "bucket_cap_bytes": self.bucket_bytes_cap,
            "find_unused_parameters": int(self.find_unused_parameters),
            "gradient_as_bucket_view": int(self.gradient_as_bucket_view),
            "num_parameter_tensors": len(trained),
            "total_parameter_size_bytes": sum(p.numel() * p.element_size() for p in trained),
            "rank": self.process_group.rank(),
            "world_size": self.process_group.size(),
        }

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Gradients of backward passes inside are not averaged; the next pass outside averages what has come together."""
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    def join(
        self, divide_by_initial_world_size: bool = True, enable: bool = True, throw_on_early_termination: bool = False
    ) -> Join:
        """Ranks may have different numbers of batches inside: one that is through answers the others with zeros, and has the last
        ones' parameters in the end. Sums of gradients are divided by the number of all ranks, or of those that are not through.
        """
        return Join(
            [self], enable, throw_on_early_termination, divide_by_initial_world_size=divide_by_initial_world_size
        )

    def join_hook(self, **kwargs: Any) -> JoinHook:
        """What a rank that is through does for this module."""
        self._by_all = kwargs.get("divide_by_initial_world_size", True)
        return _Answers(self)

    @property
    def join_device(self) -> Any:
        """The parameters' device."""
        return self.device

    @property
    def join_process_group(self) -> Any:
        """The group that gradients are averaged over."""
        return self.process_group

    def _joined(self, here: bool) -> tuple[int, bool, bool]:
        """Whose buffers are sent in an iteration of a `join`, whether they are, and whether gradients are averaged."""
        mine = [-1, 0, 0]
        if here:
            mine = [
                self.process_group.rank(),
                int(self.require_forward_param_sync),
                int(self.require_backward_grad_sync),
            ]
        root, sent, synced = agreed(mine, ReduceOp.MAX, self.process_group)
        return root, bool(sent), bool(synced)

    def _begin_joined(self) -> int:
        count = Join.notify_join_context(self)
        if self._averaging is not None and count is not None and not self._by_all:
            self._averaging.divisor = count
        return self._joined(True)[0]

    def register_comm_hook(self, state: object, hook: Callable[..., Any]) -> None:
        """Have `hook(state, bucket)` average the gradients: it gives a Future of the flat tensor. In a group of one process, too.

        TypeError for what can't be called, ValueError for annotations of other types, RuntimeError for a second hook.
        """
        if not callable(hook):
            raise TypeError("Communication hook must be callable.")
        _look_at_annotations(hook)
        if self._averaging is None:
            self._start(self._trained())
        assert self._averaging is not None
        if self._averaging.hook is not None:
            raise RuntimeError("register_comm_hook or register_builtin_comm_hook can only be called once.")
        self._averaging.hook = lambda bucket: hook(state, bucket)

    def _register_builtin_comm_hook(self, comm_hook_type: Any) -> None:
        """Have gradients averaged as they are, or in float16."""
        compressed = comm_hook_type == BuiltinCommHookType.FP16_COMPRESS

        def hook(state: Any, bucket: GradBucket) -> Any:
            flat = bucket.buffer()
            if not compressed:
                return averaged(flat, self.process_group)
            return averaged(flat.to(float16), self.process_group).then(lambda future: flat.copy_(future.value()))

        self.register_comm_hook(None, hook)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        del state["process_group"]
        state["_averaging"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.process_group = chosen(None)
        if self.process_group.size() > 1:
            self._start(self._trained())


class _Answers(JoinHook):
    """What a rank that is through does for a module."""

    def __init__(self, ddp: DistributedDataParallel):
        self.ddp = ddp

    def main_hook(self) -> None:
        """One iteration of the others: buffers, then gradients."""
        ddp = self.ddp
        root, sent, synced = ddp._joined(False)
        if ddp._averaging is None:
            return
        if sent:
            ddp._send_buffers(root)
        if synced:
            ddp._averaging.answer()

    def post_hook(self, is_last_joiner: bool) -> None:
        """Take the parameters and buffers of the last ranks."""
        ddp = self.ddp
        root = agreed([ddp.process_group.rank() if is_last_joiner else -1], ReduceOp.MAX, ddp.process_group)[0]
        synchronise([*ddp.module.parameters(), *ddp._buffers_to_send()], ddp.process_group, root)
        if ddp._averaging is not None:
            ddp._averaging.divisor = ddp.process_group.size()


def _look_at_annotations(hook: Callable[..., Any]) -> None:
    """ValueError where a hook's annotations say that it takes or gives something else; those that are texts are not looked at."""
    try:
        signature = inspect.signature(hook)
    except (TypeError, ValueError):  # a callable that tells nothing of itself
        return
    bucket = signature.parameters.get("bucket")
    takes = inspect.Parameter.empty if bucket is None else bucket.annotation
    if takes not in (inspect.Parameter.empty, GradBucket) and not isinstance(takes, str):
        raise ValueError(message("hook_bucket_annotation"))
    gives = signature.return_annotation
    if gives is not inspect.Signature.empty and not isinstance(gives, str) and "Future" not in str(gives):
        raise ValueError(message("hook_return_annotation"))


def _refuse(**options: Any) -> None:
    for name, value in options.items():
        if value is not None:
            raise NotImplementedError(
                f"DistributedDataParallel: {name} is not there yet; leave it out (torch.autocast gives mixed precision)"
            )
