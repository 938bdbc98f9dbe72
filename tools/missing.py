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
    **dict.fromkeys(
        ("torch.distributed.Logger", "torch.distributed.Reducer", "torch.distributed.ProcessGroupGloo"),
        "torch's own machinery in C++ under process groups and DistributedDataParallel",
    ),
    "torch.distributed.record_comm": "names for torch's profiler of collectives, which does not see them here",
    "torch.distributed.shrink_group": "takes dead GPUs out of a group of NCCL's; end the job and launch it again",
    "torch.distributed": "not there yet",
    **{
        f"torch.nn.functional.{name}_notes": "texts of torch's own pages"
        for name in ("reproducibility", "sparse_support", "tf32")
    },
    "torch.utils.checkpoint.GraphExecGroup": "each backward pass computes a checkpointed part anew, and keeps nothing of it",
    "torch.utils.hooks.BackwardHook": "torch's own way to put a module's backward hooks on the tape",
}
_MORE = {
    "names of an aggregation that PyTorch's Python code doesn't use": "torch.AVG torch.SUM",
    "what PyTorch's own modules import or set up for themselves": (
        "torch.PRIVATE_OPS torch.TYPE_CHECKING torch.USE_GLOBAL_DEPS torch.USE_RTLD_GLOBAL_WITH_LIBTORCH torch.classproperty "
        "torch.get_file_path torch.init_num_threads torch.prepare_multiprocessing_environment "
        "torch.profiler_allow_cudagraph_cupti_lazy_reinit_cuda12 torch.utils.set_module torch.cuda.check_error torch.cuda.cudaStatus"
    ),
    "how libtorch was built; torch.__config__.show() says what is here": (
        "torch.compiled_with_cxx11_abi torch.has_lapack torch.has_mkl torch.has_openmp torch.has_spectral "
        "torch.utils.cmake_prefix_path torch.utils.get_cpp_backtrace"
    ),
    "TorchScript's own language and its compiler are not here: torch.jit runs Python": (
        "torch.import_ir_module torch.import_ir_module_from_buffer torch.merge_type_from_type_comment torch.parse_ir "
        "torch.parse_type_comment torch.unify_type_list torch.utils.ThroughputBenchmark"
    ),
    "indexing by first-class dimensions (functorch.dim), which are not here": "torch.Tensor.index",
    "oneDNN's own layout of memory; XLA chooses its own": "torch.Tensor.to_mkldnn",
    "two of four values left out is a format of GPUs' matrix units": (
        "torch.sparse.SparseSemiStructuredTensor torch.sparse.SparseSemiStructuredTensorCUSPARSELT "
        "torch.sparse.SparseSemiStructuredTensorCUTLASS"
    ),
    "no public function of PyTorch either: a leftover of its list": "torch.sparse.solve",
    "storages that know their dtype are old; on a GPU there were never any here": " ".join(
        f"torch.cuda.{kind}Storage"
        for kind in "BFloat16 Bool Byte Char ComplexDouble ComplexFloat Double Float Half Int Long Short".split()
    ),
    "CUDA's own machinery, which XLA's runtime keeps to itself": (
        "torch.cuda.GreenContext torch.cuda.caching_allocator_disabled torch.cuda.jiterator torch.cuda.nccl torch.cuda.sparse "
        "torch.cuda.tunable torch.backends.cuda.blas_workspace_size torch.backends.cuda.cuBLASModule "
        "torch.backends.cuda.cuFFTPlanCache torch.backends.cuda.cuFFTPlanCacheAttrContextProp "
        "torch.backends.cuda.cuFFTPlanCacheManager torch.backends.cuda.cublas_workspace_size "
        "torch.backends.cuda.cublaslt_workspace_size torch.backends.cuda.cufft_plan_cache "
        "torch.backends.cuda.preferred_blas_library torch.backends.cuda.preferred_linalg_library "
        "torch.backends.cuda.preferred_rocm_fa_library"
    ),
    "devices of others plug into XLA, not into this library": (
        "torch.utils.generate_methods_for_privateuse1_backend torch.utils.rename_privateuse1_backend"
    ),
    "checks of the types in data pipes' annotations, which PyTorch has retired; the pipes are there": (
        "torch.utils.data.DataChunk torch.utils.data.argument_validation torch.utils.data.guaranteed_datapipes_determinism "
        "torch.utils.data.non_deterministic torch.utils.data.runtime_validation torch.utils.data.runtime_validation_disabled"
    ),
    "numbers of devices in DLPack's C header": "torch.utils.dlpack.DLDeviceType",
}
REASONS.update({name: why for why, names in _MORE.items() for name in names.split()})
REASONS["torch.native_norm"] = "PyTorch itself has it for sparse tensors only; norm is there"
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
