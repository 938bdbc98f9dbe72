"""Writes docs/missing.md: the public names of PyTorch that flambeau lacks, with the reason. `--check` says whether it is current.

python tools/missing.py            needs the real torch, as the tests do
"""

from __future__ import annotations

import importlib
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import torch

import flambeau

PAGE = Path(__file__).resolve().parent.parent / "docs" / "missing.md"

NAMESPACES = """
    torch torch.Tensor torch.nn torch.nn.functional torch.nn.init torch.nn.utils torch.nn.utils.rnn torch.nn.utils.parametrize
    torch.nn.utils.parametrizations torch.nn.utils.prune torch.nn.attention torch.nn.attention.bias torch.nn.attention.flex_attention
    torch.nn.attention.varlen torch.nn.parallel torch.optim torch.optim.lr_scheduler torch.optim.swa_utils torch.autograd
    torch.autograd.forward_ad torch.autograd.functional torch.autograd.graph torch.autograd.profiler torch.linalg torch.fft
    torch.special torch.signal.windows torch.masked torch.sparse torch.nested torch.distributions torch.fx torch.jit torch.export
    torch.onnx torch.library torch.func torch.compiler torch.amp torch.cuda torch.mps torch.xpu torch.cpu torch.mtia
    torch.accelerator torch.backends torch.backends.cuda torch.backends.cudnn torch.utils torch.utils.data torch.utils.checkpoint
    torch.utils.benchmark torch.utils.flop_counter torch.utils.tensorboard torch.utils.dlpack torch.utils.hooks
    torch.utils.cpp_extension torch.utils.deterministic torch.multiprocessing torch.distributed torch.profiler torch.random torch.hub
    torch.overrides torch.package torch.ao.quantization torch.testing torch.types torch.return_types torch.serialization torch.futures
    torch.monitor torch.__future__ torch.__config__
""".split()

NOT_YET = "not there yet"
REASONS = {  # by namespace, or by name in full
    "torch.ao.quantization": "quantized tensors are not there yet",
    "torch.cpu": NOT_YET,
    "torch.mps": "there is no such device under XLA's plugins here",
    "torch.mtia": "there is no such device under XLA's plugins here",
    "torch.xpu": "there is no such device under XLA's plugins here",
    "torch.utils.cpp_extension": "extensions are compiled against libtorch, which is not here",
    "torch.package": "its archives hold pickled code for torch's importer",
    **dict.fromkeys(
        (
            f"torch.compiler.{name}"
            for name in (
                "keep_portable_guards_unsafe",
                "keep_tensor_guards_unsafe",
                "skip_all_guards_unsafe",
                "skip_guard_on_all_nn_modules_unsafe",
                "skip_guard_on_globals_unsafe",
                "skip_guard_on_inbuilt_nn_modules_unsafe",
                "set_enable_guard_collectives",
            )
        ),
        "what a compiled function holds for is always looked at: guards can't be left out",
    ),
    **dict.fromkeys(
        (
            f"torch.compiler.{name}"
            for name in ("load_cache_artifacts", "save_cache_artifacts", "load_compiled_function")
        ),
        "XLA keeps its programs on the disk by itself; flambeau.export writes files",
    ),
    "torch.compiler.config": "settings of Dynamo and Inductor, neither of which is here",
    "torch.compiler.substitute_in_graph": "functions in C are not replaced while a function is traced; it runs uncompiled",
    "torch.compiler.wrap_numpy": "NumPy's functions can't be traced by XLA; write them with tensors",
    "torch.distributed": "groups of several processes are not there yet",
    **{
        f"torch.nn.functional.{name}_notes": "texts of torch's own pages"
        for name in ("reproducibility", "sparse_support", "tf32")
    },
    "torch.utils.checkpoint.GraphExecGroup": "each backward pass computes a checkpointed part anew, and keeps nothing of it",
    "torch.utils.hooks.BackwardHook": "torch's own way to put a module's backward hooks on the tape",
}
_BLOCKS = "matrices with compressed columns, or blocks, are not there"
for _name in ("ccol_indices", "row_indices", "to_sparse_bsc", "to_sparse_bsr", "to_sparse_csc"):
    REASONS[f"torch.Tensor.{_name}"] = _BLOCKS
for _name in ("resize_as_sparse_", "sparse_resize_and_clear_", "sspaddmm"):
    REASONS[f"torch.Tensor.{_name}"] = "it changes a sparse tensor's memory, or adds to one; nobody has asked for it"
REASONS["torch.Tensor.index"] = "it makes tensors with first-class dimensions (functorch.dim), which are not there"
REASONS["torch.Tensor.to_mkldnn"] = "the layout of one library; flambeau chooses its own"
REASONS["torch.Tensor.to_padded_tensor"] = "a method of nested tensors alone"
REASONS["torch.native_norm"] = "PyTorch itself has it for sparse tensors only; norm is there"
for _name in ("ccol_indices_copy", "row_indices_copy"):
    REASONS[f"torch.{_name}"] = "matrices with compressed columns are not there"
REASONS["torch.fft.Tensor"] = "the class that torch.fft happens to import"
REASONS["torch.linalg.common_notes"] = "pieces of PyTorch's documentation"
KERNELS = ("cudnn_", "miopen_", "mkldnn_", "fbgemm_", "batch_norm_")
ONE_LIBRARY = "kernels of one library; the public functions call what computes here"
QUANTIZED = "quantized tensors are refused, with what to do instead"
INTERNAL = "a class of libtorch that is visible in Python: nothing here stands behind it"


def namespace(name: str, root: Any, package: str) -> Any:
    """A module by its torch name in either library, or Tensor; None if there is none."""
    if name == "torch.Tensor":
        return root.Tensor
    try:
        return importlib.import_module(package + name.removeprefix("torch"))
    except ImportError:
        return None


def public(name: str, space: Any) -> list[str]:
    """What is said to be public there, or else what is no module, has no underscore and comes from torch."""
    listed = getattr(space, "__all__", None)
    if listed is not None and name != "torch":
        return sorted(set(listed))
    found = []
    for key in sorted({*dir(space), *(listed or ())}):
        value = getattr(space, key, None)
        home = getattr(value, "__module__", None)
        ours = home is None or str(home).partition(".")[0] == "torch"
        if not key.startswith("_") and not isinstance(value, types.ModuleType) and ours:
            found.append(key)
    return found


def reason(space: str, name: str) -> str:
    """Why a name is missing."""
    value = getattr(torch, name, None) if space == "torch" else None
    if isinstance(value, type) and (str(value.__module__).startswith("torch._C") or hasattr(torch._C, name)):
        return INTERNAL
    if space == "torch" and name.startswith(KERNELS):
        return ONE_LIBRARY
    if space == "torch" and name.startswith(("QInt", "QUInt", "fake_quantize_")):
        return QUANTIZED
    return REASONS.get(f"{space}.{name}") or REASONS.get(space, NOT_YET)


def page() -> str:
    warnings.simplefilter("ignore")
    lines, total, lacking = [], 0, 0
    for space in NAMESPACES:
        theirs, ours = namespace(space, torch, "torch"), namespace(space, flambeau, "flambeau")
        if theirs is None:
            continue
        names = public(space, theirs)
        missing = [n for n in names if ours is None or not hasattr(ours, n)]
        total, lacking = total + len(names), lacking + len(missing)
        by_reason: dict[str, list[str]] = {}
        for name in missing:
            by_reason.setdefault(reason(space, name), []).append(name)
        for why, group in by_reason.items():
            shown = "all of it" if ours is None else ", ".join(f"`{n}`" for n in group)
            lines.append(f"| `{space}` | {len(group)} of {len(names)} | {shown} | {why} |")
    head = (
        "# What is missing\n\nPublic names of PyTorch 2.13 that flambeau lacks, written by `tools/missing.py` and checked by a test. "
        f"Of {total:,} names {total - lacking:,} are there ({100 * (total - lacking) / total:.1f}%).\n\n"
        "| where | how many | which | why |\n|---|---|---|---|\n"
    )
    return head + "\n".join(lines) + "\n"


def main() -> int:
    made = page()
    if "--check" in sys.argv:
        current = PAGE.exists() and PAGE.read_text() == made
        print("docs/missing.md is current" if current else "docs/missing.md is old: run tools/missing.py")
        return 0 if current else 1
    PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
