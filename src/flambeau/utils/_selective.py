"""Selective checkpointing: a policy says which operators' results a checkpointed part keeps."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable
from typing import Any

from ..core.dispatch.messages import message
from ..core.tape.nodes import OperatorNode
from ..core.tensor.tensor import wrap
from ..ops.overloads import OpOverload, OpOverloadPacket, aten, overload_of


class CheckpointPolicy(enum.Enum):
    """What becomes of an operator's results: kept, or computed again. `PREFER_` leaves it to the library, which obeys.

    What goes to the CPU in PyTorch (`..._CPU_OFFLOAD`) is kept where it is.
    """

    __module__ = "flambeau.utils.checkpoint"

    MUST_SAVE, PREFER_SAVE, MUST_RECOMPUTE, PREFER_RECOMPUTE, MUST_CPU_OFFLOAD, PREFER_CPU_OFFLOAD = range(6)


_KEPT = (
    CheckpointPolicy.MUST_SAVE, CheckpointPolicy.PREFER_SAVE, CheckpointPolicy.MUST_CPU_OFFLOAD,
    CheckpointPolicy.PREFER_CPU_OFFLOAD,
)  # fmt: skip
SAC_IGNORED_OPS = {aten.detach.default, aten.size.default, aten.numel.default, aten.dim.default, aten.stride.default}


class SelectiveCheckpointContext:
    """What a policy is told beside the operator and its arguments."""

    __module__ = "flambeau.utils.checkpoint"

    def __init__(self, *, is_recompute: bool, op_output: Any = None) -> None:
        self.is_recompute = is_recompute
        self.op_output = op_output


class Selection(contextlib.AbstractContextManager[None]):
    """One of the two contexts: asks the policy of each operator that is recorded while a part runs."""

    def __init__(self, policy: Callable[..., Any], is_recompute: bool):
        self.policy = policy
        self.is_recompute = is_recompute

    def __exit__(self, *exc: object) -> None:
        return None

    def keeps(self, node: Any, outputs: Any) -> bool:
        """Whether the results of this call are kept."""
        if not isinstance(node, OperatorNode):
            return False
        op = overload_of(node.program.name, [a for a in node.saved if a is not None])
        told = SelectiveCheckpointContext(is_recompute=self.is_recompute, op_output=None)
        found = self.policy(told, op, *(wrap(a) if hasattr(a, "dtype") else a for a in node.saved))
        return found in _KEPT or found is True


def create_selective_checkpoint_contexts(
    policy_fn_or_list: Any, allow_cache_entry_mutation: bool = False
) -> tuple[Selection, Selection]:
    """The contexts of a part that keeps some results, for `checkpoint(..., context_fn=...)`.

    A policy is called with a SelectiveCheckpointContext, the operator (`torch.ops.aten.mm.default`, say) and its arguments, and
    gives a CheckpointPolicy; a list of operators names those to be kept. It is asked of flambeau's operators, of which one
    may stand for several of PyTorch's (a linear layer is one `addmm`), and of those only that have a gradient. A result is
    kept if the gradient of another operator depends on it; where all that the backward pass needs is kept, nothing is
    computed again. Kept values are immutable, so that `allow_cache_entry_mutation` changes nothing.

    Raises ValueError for a list of anything else than operators, TypeError for neither a function nor a list.
    """
    if isinstance(policy_fn_or_list, list):
        for op in policy_fn_or_list:
            if not isinstance(op, OpOverload):
                got = f"but got: {op} of type {type(op)}. "
                text = f"Expected op in `op_list` to be an OpOverload {got}"
                if isinstance(op, OpOverloadPacket):
                    text += (
                        "Please update the OpOverloadPacket to a specific OpOverload.For example, if you have "
                        f"`torch.ops.{op}`, change it to `torch.ops.{op}.default`."
                    )
                raise ValueError(text)
        chosen = frozenset(policy_fn_or_list)

        def policy(told: Any, op: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
            return CheckpointPolicy.MUST_SAVE if op in chosen else CheckpointPolicy.PREFER_RECOMPUTE
    elif callable(policy_fn_or_list):
        policy = policy_fn_or_list
    else:
        raise TypeError(message("policy_wrong"))
    return Selection(policy, False), Selection(policy, True)
