"""Calls of functions in other processes: refused by name. There are collectives, send and recv, and objects that are sent."""

from ..runtime.absent import refuse
from . import _later

__all__ = """
    BackendType RRef TensorPipeRpcBackendOptions get_worker_info init_rpc is_available remote rpc_async
    rpc_sync shutdown
""".split()


def is_available() -> bool:
    """Never."""
    return False


for _name in ("get_worker_info", "init_rpc", "remote", "rpc_async", "rpc_sync", "shutdown"):
    globals()[_name] = _later.function(_name, __name__)
for _name in ("BackendType", "RRef", "RpcBackendOptions", "TensorPipeRpcBackendOptions", "WorkerInfo"):
    globals()[_name] = _later.kind(_name, __name__)

refuse(
    globals(),
    "calls of functions in other processes are not here; torch.distributed has collectives, send and recv",
    "AllGatherStates method_factory new_method",
)
