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
from options import CHECK, asked

import flambeau
from flambeau import _served

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
    "torch.distributed": "not there yet",
    **{
        f"torch.nn.functional.{name}_notes": "texts of torch's own pages"
        for name in ("reproducibility", "sparse_support", "tf32")
    },
}
_MORE = {
    "what PyTorch's own modules import or set up for themselves": (
        "torch.PRIVATE_OPS torch.TYPE_CHECKING torch.USE_GLOBAL_DEPS torch.USE_RTLD_GLOBAL_WITH_LIBTORCH "
        "torch.get_file_path torch.prepare_multiprocessing_environment torch.profiler_allow_cudagraph_cupti_lazy_reinit_cuda12 "
    ),
    "TorchScript's own language and its compiler are not here: torch.jit runs Python": (
        "torch.import_ir_module torch.import_ir_module_from_buffer torch.merge_type_from_type_comment torch.parse_ir "
        "torch.parse_type_comment"
    ),
    "indexing by first-class dimensions (functorch.dim), which are not here": "torch.Tensor.index",
    "oneDNN's own layout of memory; XLA chooses its own": "torch.Tensor.to_mkldnn",
}
REASONS.update({name: why for why, names in _MORE.items() for name in names.split()})
REASONS["torch.linalg.common_notes"] = "pieces of PyTorch's documentation"


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
        return sorted(n for n in set(listed) if hasattr(space, n))  # torch.sparse.solve is listed, and is not there
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
    return REASONS.get(f"{space}.{name}") or REASONS.get(space, NOT_YET)


def page() -> str:
    warnings.simplefilter("ignore")
    lines, total, lacking, refused = [], 0, 0, 0
    for space in NAMESPACES:
        theirs, ours = namespace(space, torch, "torch"), namespace(space, flambeau, "flambeau")
        if theirs is None:
            continue
        names = public(space, theirs)
        missing = [n for n in names if ours is None or not hasattr(ours, n)]
        total, lacking = total + len(names), lacking + len(missing)
        refused += sum(hasattr(getattr(ours, n, None), "__refused__") for n in names)
        by_reason: dict[str, list[str]] = {}
        for name in missing:
            by_reason.setdefault(reason(space, name), []).append(name)
        for why, group in by_reason.items():
            shown = "all of it" if ours is None else ", ".join(f"`{n}`" for n in group)
            lines.append(f"| `{space}` | {len(group)} of {len(names)} | {shown} | {why} |")
    head = (
        "# What is missing\n\nPublic names of PyTorch 2.13 that flambeau lacks, written by `tools/missing.py` and checked by a test. "
        f"Of {total:,} names {total - lacking:,} are there ({100 * (total - lacking) / total:.1f}%); {refused} of these "
        "are refused when they are used, with the reason.\n\n"
        "| where | how many | which | why |\n|---|---|---|---|\n"
    )
    return head + "\n".join([*lines, "", *modules()]) + "\n"


def files() -> list[str]:
    """Every module of PyTorch's with a public path, by its file: none is imported for it."""
    root = Path(torch.__file__).parent
    places = (path.relative_to(root.parent).with_suffix("") for path in root.rglob("*.py"))
    names = {".".join(place.parts).removesuffix(".__init__") for place in places}
    public_path = (name for name in names if not any(part.startswith("_") for part in name.split(".")))
    return sorted(name for name in public_path if set(name.split(".")).isdisjoint({"bin", "include", "lib", "test"}))


def refused_alone(space: Any) -> bool:
    """Whether a module has names, and each is refused when it is used."""
    names = [n for n in getattr(space, "__all__", ()) if hasattr(space, n)]
    return bool(names) and all(hasattr(getattr(space, n), "__refused__") for n in names)


def modules() -> list[str]:
    """The lines on modules that can't be imported here, and on those of which all is refused."""
    names = files()
    found = {name: namespace(name, flambeau, "flambeau") for name in names}
    missing = [name for name, space in found.items() if space is None]
    table = {f"torch.{module}": row.why for module, row in _served.table().items() if row.why}
    alone = [name for name, space in found.items() if space is not None and (name in table or refused_alone(space))]
    rest = len(names) - len(missing) - len(alone)
    apart: dict[str, list[str]] = {}
    for module, why in _served.without().items():
        apart.setdefault(why, []).append(f"torch.{module}")
    lines = [
        f"Of its {len(names)} modules with a public path {len(names) - len(missing)} can be imported here: {rest} are served, {len(alone)} hold "
        "only names that are refused when they are used (or no public names, as in PyTorch).",
        "",
        *([f"Not importable: {', '.join(f'`{name}`' for name in missing)}.", ""] if missing else []),
        *(f"Of these, {', '.join(f'`{name}`' for name in group)}: {why}.\n" for why, group in apart.items()),
    ]
    grouped: dict[str, list[str]] = {}
    for name in alone:
        grouped.setdefault(table.get(name, "said by each name"), []).append(name)
    lines += ["| modules of refused names | how many | why |", "|---|---|---|"]
    for why, group in sorted(grouped.items(), key=lambda row: row[1][0]):
        lines.append(f"| {', '.join(f'`{name}`' for name in group)} | {len(group)} | {why} |")
    return lines


def main() -> int:
    check = asked(__doc__, check=CHECK).check
    made = page()
    if check:
        current = PAGE.exists() and PAGE.read_text() == made
        print("docs/missing.md is current" if current else "docs/missing.md is old: run tools/missing.py")
        return 0 if current else 1
    PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
