"""What the processor can do."""

from __future__ import annotations

from ..core.dispatch.help import explain_namespace as _explain_namespace
from ..cpu import get_capabilities

__all__ = ["get_cpu_capability"]


def get_cpu_capability() -> str:
    """The widest vectors that there are: 'AVX512', 'AVX2', or 'DEFAULT'."""
    held = get_capabilities()
    if all(held.get(f"avx512_{part}") for part in ("f", "bw", "dq", "vl")):
        return "AVX512"
    return "AVX2" if held.get("avx2") and held.get("fma3") else "DEFAULT"


_explain_namespace(globals(), "torch.backends.cpu")
