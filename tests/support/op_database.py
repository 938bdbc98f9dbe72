"""Every operator against the sample inputs that torch's own tests use: the samples, and what may differ.

`python -m support.op_database add mul` (with tests/ on PYTHONPATH) gives the details of every failure, and
`--missing` lists what flambeau lacks.
"""

from __future__ import annotations

import collections
import functools
import itertools
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import torch

import flambeau as fb
from flambeau.core.tensor.tensor import Tensor, wrap

from . import oracle
from .op_differences import DIFFERENCES, LOOSER, Difference

DTYPES = (torch.float64, torch.float32, torch.int64, torch.bool, torch.complex128, torch.float8_e4m3fn)
NARROW = {  # dtypes that NumPy doesn't have
    torch.bfloat16: jnp.bfloat16,
    torch.float8_e4m3fn: jnp.float8_e4m3fn,
    torch.float8_e5m2: jnp.float8_e5m2,
}
ALL = 60
DRAWN_FROM = 20  # the ordinary run takes one of so many
TWICE = 5  # samples of which second gradients are compared
SAMPLES = int(os.environ.get("FLAMBEAU_SAMPLES", ALL))  # at most so many sample inputs of an operator and dtype
TOLERANCES = {  # relative, absolute
    np.dtype(np.float64): (1e-7, 1e-8),
    np.dtype(np.complex128): (1e-7, 1e-8),
    np.dtype(np.float32): (1e-5, 1e-5),
    np.dtype(np.complex64): (1e-5, 1e-5),
    np.dtype(np.float16): (2e-3, 2e-3),
}


def _max_pool2d_backward(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                         ceil_mode: bool = False, **_: Any) -> Any:  # fmt: skip
    made, indices = fb.nn.functional.max_pool2d_with_indices(x, kernel_size, stride, padding, dilation, ceil_mode, True)
    steps = kernel_size if stride is None else stride
    return fb.ops.aten.max_pool2d_with_indices_backward.default(
        fb.ones_like(made), x, kernel_size, steps, padding, dilation, ceil_mode, indices
    )


ADAPTED: dict[str, Callable[..., Any]] = {  # where torch describes another function than the one of that name
    "polygamma": lambda x, n, **k: fb.polygamma(n, x, **k),
    "special.polygamma": lambda x, n, **k: fb.special.polygamma(n, x, **k),
    "where": lambda x, condition, other, **k: fb.where(condition, x, other, **k),
    "einsum": lambda tensors, equation: fb.einsum(equation, tensors),
    "nn.functional.embedding": lambda weight, index, **k: fb.nn.functional.embedding(index, weight, **k),
    "nn.functional.embedding_bag": lambda weight, index, **k: fb.nn.functional.embedding_bag(index, weight, **k),
    "_segment_reduce": lambda x, *a, **k: fb.segment_reduce(x, *a, **k),
    "slice": lambda x, *a, **k: fb.ops.aten.slice.Tensor(x, *a, **k),
    "max_pool2d_with_indices_backward": lambda x, **k: _max_pool2d_backward(x, **k),
    **{
        name: lambda x, *a, name=name, **k: getattr(x, f"{name}_")(*a, **k)
        for name in ("cauchy", "exponential", "geometric", "log_normal", "uniform")
    },
    **{
        name: lambda x, *a, name=name, **k: getattr(fb.ops.aten, name)(x, *a, **k)
        for name in (
            "_batch_norm_with_update",
            "_upsample_bilinear2d_aa",
            "native_dropout_backward",
            "_softmax_backward_data",
        )
    },
    "zero_": lambda x: x.clone().zero_(),
    "normal.in_place": lambda x, *a, **k: x.clone().normal_(*a, **k),
    "normal.number_mean": lambda std, mean, *a, **k: fb.normal(mean, std, *a, **k),
    "rand_like": lambda x, **k: fb.randn_like(x, **k),
    "linalg.lstsq.grad_oriented": lambda a, b, driver: fb.linalg.lstsq(a, b, driver=driver)[:2],
    "linalg.pinv.singular": lambda a, b: fb.linalg.pinv(a @ b.mT),
    "pca_lowrank": lambda a, b, **k: fb.pca_lowrank(a @ b.mT, **k),
    "svd_lowrank": lambda a, b, **k: fb.svd_lowrank(a @ b.mT, **k),
}

# The samples of these go through a wrapper that calls torch's own functions, which do not take flambeau's tensors.
WRAPPED_BY_TORCH = ("cholesky_inverse",)

# Differences in what is refused that hold for every operator.
NUMBERS_TAKEN = "Python numbers are taken in places where torch takes only tensors"
OUT_TAKES_CASTS = "`out=` may have any dtype to which the result can be cast, and outputs are not checked for overlap"

# --- finding and calling ---------------------------------------------------------------------------------------------


@functools.cache
def op_infos() -> dict[str, Any]:
    """torch's descriptions of its operators by name and variant ("div.floor_rounding")."""
    from torch.testing._internal.common_methods_invocations import op_db

    oracle.samples_without_notes()
    return {f"{op.name}.{op.variant_test_name}" if op.variant_test_name else op.name: op for op in op_db}


def ours(key: str) -> Callable[..., Any] | None:
    """flambeau's function of torch's name, or its Tensor method."""
    name, found = op_infos()[key].name, fb  # type: str, Any
    if key in ADAPTED or name in ADAPTED:
        return ADAPTED.get(key) or ADAPTED[name]
    for part in name.removeprefix("torch.").split("."):
        found = getattr(found, part, None) if found is not None else None
    if callable(found) or "." in name:
        return found if callable(found) else None
    found = getattr(Tensor, name, None)
    if isinstance(found, property):
        return found.fget
    return found if callable(found) else None


def known() -> list[str]:
    """The entries that we have; those of sparse tensors, whose samples are no plain ones, are left to ops/test_sparse.py."""
    return [key for key in op_infos() if ours(key) is not None and not key.startswith(("sparse.", "to_sparse"))]


def to_numpy(x: Any) -> np.ndarray:
    if isinstance(x, torch.Tensor):
        x = x.detach().resolve_conj().resolve_neg()
        return (x.float() if x.dtype in NARROW else x).numpy(force=True)
    array = np.asarray(x._array)
    return array.astype(np.float32) if array.dtype in NARROW.values() else array


def convert(x: Any, leaves: dict[int, Any] | None = None) -> Any:
    """The same nest with flambeau's tensors; `leaves` keeps those that require grad by the torch tensor's id."""
    if isinstance(x, torch.Tensor):
        if leaves is not None and id(x) in leaves:
            return leaves[id(x)]
        if x.layout is not torch.strided or x.is_quantized or x.ndim > 32:
            raise NotImplementedError(f"layout {x.layout}, {x.ndim} dimensions")
        array = jnp.asarray(to_numpy(x).copy())
        made = wrap(array.astype(NARROW[x.dtype]) if x.dtype in NARROW else array)
        if x.requires_grad:
            made.requires_grad_()
            if leaves is not None:
                leaves[id(x)] = made
        return made
    if isinstance(x, torch.dtype):
        return getattr(fb, str(x).removeprefix("torch."))
    if isinstance(x, torch.device):
        return str(x)
    if isinstance(x, torch.Size):
        return tuple(x)
    if isinstance(x, (list, tuple)):
        parts = [convert(part, leaves) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    if isinstance(x, dict):
        return {key: convert(value, leaves) for key, value in x.items()}
    if isinstance(x, (torch.memory_format, torch.layout, torch.Generator, torch.nn.Module)):
        raise NotImplementedError(f"argument {x}")
    return x


def flat(x: Any) -> list[Any]:
    if isinstance(x, (list, tuple)):
        return [leaf for part in x for leaf in flat(part)]
    return [leaf for part in x.values() for leaf in flat(part)] if isinstance(x, dict) else [x]


def seeded(function: Callable[[], Any]) -> Any:
    torch.manual_seed(42)  # as torch's descriptions of the random operators do
    fb.manual_seed(42)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function()


# --- comparing -------------------------------------------------------------------------------------------------------


def difference(mine: Any, theirs: Any, name: str, compared: int | None = None) -> str | None:
    """What is not the same in two results, in words; None if nothing. Values only of the first `compared` ones."""
    a, b = flat(mine), flat(theirs)
    if len(a) != len(b):
        return f"{len(a)} results instead of {len(b)}"
    for i, (m, t) in enumerate(zip(a, b, strict=True)):
        where = f"result {i}: " if len(a) > 1 else ""
        if not isinstance(t, torch.Tensor):
            if isinstance(t, torch.dtype):
                t, m = str(t), str(m)
            if m != t and not (m != m and t != t):
                return f"{where}{m!r} instead of {t!r}"
            continue
        if not isinstance(m, Tensor):
            return f"{where}{type(m).__name__} instead of a tensor"
        if str(m.dtype) != str(t.dtype):
            return f"{where}dtype {m.dtype} instead of {t.dtype}"
        if tuple(m.shape) != tuple(t.shape):
            return f"{where}shape {tuple(m.shape)} instead of {tuple(t.shape)}"
        if (compared is None or i < compared) and (wrong := _values(to_numpy(m), to_numpy(t), name)):
            return where + wrong
    return None


def _values(m: np.ndarray, t: np.ndarray, name: str) -> str | None:
    if t.dtype.kind not in "fc":
        wrong = m != t
    else:
        rtol, atol = TOLERANCES[t.dtype]
        if name in LOOSER:
            factor = LOOSER[name][0] / TOLERANCES[np.dtype(np.float64)][0]
            rtol, atol = rtol * factor, atol * factor
        with np.errstate(all="ignore"):
            wrong = ~np.isclose(m, t, rtol=rtol, atol=atol, equal_nan=True)
    if not wrong.any():
        return None
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{int(wrong.sum())} of {wrong.size} differ, at {list(at)} {m[at]} instead of {t[at]}"


def show(sample: Any) -> str:
    def words(x: Any) -> str:
        if isinstance(x, torch.Tensor):
            return f"{str(x.dtype).removeprefix('torch.')}{list(x.shape)}" + (f"={x.item()}" if x.ndim == 0 else "")
        if isinstance(x, (list, tuple)):
            return f"({', '.join(map(words, x))})"
        return repr(x)

    return ", ".join(
        [words(sample.input), *map(words, sample.args), *(f"{k}={words(v)}" for k, v in sample.kwargs.items())]
    )


class Case:
    """One sample of one operator, and what goes wrong with it."""

    def __init__(self, key: str, dtype: torch.dtype, sample: Any):
        self.key, self.dtype, self.sample = key, dtype, sample
        self.info = op_infos()[key]
        own = key in WRAPPED_BY_TORCH or key.startswith("masked.")  # whose wrapper hides what a mask leaves out
        self.wrapped = (lambda op, *a, **k: op(*a, **k)) if own else self.info.gradcheck_wrapper
        self.used: set[Difference] = set()

    def known(self, what: str) -> bool:
        matching = [d for d in DIFFERENCES.get(self.key, ()) if d.covers(what, self.dtype, self.sample)]
        self.used.update(matching)
        return bool(matching)

    def convertible(self) -> bool:
        """Whether flambeau can have this sample's arguments at all: no sparse and quantised tensors, no memory formats."""
        try:
            convert([self.sample.input, self.sample.args, self.sample.kwargs])
        except NotImplementedError:
            return False
        return True

    def failures(self, forms: bool = False, second: bool = False) -> Iterator[str]:
        """Texts, each of which begins with the kind of difference.

        `forms` adds the method, the in-place form and `out=`, `second` the gradients of gradients.
        """
        sample = self.sample
        try:
            theirs = seeded(lambda: self.wrapped(self.info.op, sample.input, *sample.args, **sample.kwargs))
        except Exception as error:
            warnings.warn(f"torch itself refuses a sample of {self.key}: {error}", stacklevel=1)
            return
        leaves: dict[int, Any] = {}
        function = ours(self.key)
        assert function is not None
        try:
            args, kwargs = convert((sample.input, *sample.args), leaves), convert(sample.kwargs, leaves)
        except NotImplementedError:
            return  # sparse and quantised tensors, memory formats, torch's own modules
        try:
            mine = seeded(lambda: self.wrapped(function, *args, **kwargs))
            wrong = self.difference(mine, theirs)
        except Exception as error:
            mine, wrong = None, f"{type(error).__name__}: {str(error)[:300]}"
        if wrong:
            if not self.known("forward"):
                yield f"forward: {wrong}"
            return
        if forms:
            yield from self.form_failures(theirs)
        if leaves and not (self.known("values") or self.known("signs")):
            twice = second and self.info.supports_gradgrad and not self.known("second gradient")
            wrong = self.gradient_failure(mine, theirs, leaves, twice)
            if wrong and not self.known("gradient"):
                yield f"gradient: {wrong}"

    def difference(self, mine: Any, theirs: Any) -> str | None:
        compared = 0 if self.known("values") else 1 if self.known("second") else None
        if self.known("signs"):
            mine, theirs = [m.abs() for m in flat(mine)], [t.abs() for t in flat(theirs)]
        return difference(mine, theirs, self.key, compared)

    def form_failures(self, theirs: Any) -> Iterator[str]:
        sample = self.sample
        wrong = self.out_failure() if self.info.supports_out else None
        if wrong and not self.known("forward") and not self.known("out"):
            yield f"out=: {wrong}"
        for what, variant in (("method", self.info.method_variant), ("in-place", self.info.inplace_variant)):
            name = getattr(variant, "__name__", None)
            if name is None or not isinstance(sample.input, torch.Tensor) or not hasattr(Tensor, name):
                continue
            target = sample.input.detach().clone()
            try:
                expected = seeded(lambda: variant(target, *sample.args, **sample.kwargs))  # noqa: B023
            except Exception:
                continue  # torch does not take this sample in this form
            start = convert(sample.input.detach())
            args, kwargs = convert(sample.args), convert(sample.kwargs)
            try:
                with fb.no_grad():
                    mine = seeded(lambda: getattr(start, name)(*args, **kwargs))  # noqa: B023
                wrong = self.difference(mine, expected)
                if what == "in-place" and mine is not start:
                    wrong = "the in-place form does not return its tensor"
            except Exception as error:
                wrong = f"{type(error).__name__}: {str(error)[:300]}"
            if wrong and not self.known("forward") and not (what == "in-place" and self.known(what)):
                yield f"forward ({name}): {wrong}"

    def out_failure(self) -> str | None:
        """What is wrong with writing to given tensors: full of other values, and of no elements, so that they grow."""

        def run(call: Callable[..., Any], out: Any) -> Any:
            result = seeded(lambda: call(out))
            same = all(r is o for r, o in zip(flat(result), flat(out), strict=True))
            return out if same else "the result is not what `out=` names"

        sample = self.sample
        plain = apart((sample.input, *sample.args)), apart(sample.kwargs)
        args, kwargs = convert(plain[0]), convert(plain[1])
        function = ours(self.key)
        assert function is not None
        with torch.no_grad(), fb.no_grad():
            try:
                results = seeded(lambda: self.info.op(*plain[0], **plain[1]))
                given = torch.utils._pytree.tree_map(
                    torch.zeros_like, tuple(results) if isinstance(results, tuple) else results
                )
                mine = convert(given)
                theirs = run(lambda out: self.info.op(*plain[0], **plain[1], out=out), given)
            except Exception:
                return None  # torch does not take this sample in this form
            if isinstance(theirs, str):
                return None
            try:
                return self.difference(run(lambda out: function(*args, **kwargs, out=out), mine), theirs)
            except Exception as error:
                return f"{type(error).__name__}: {str(error)[:300]}"

    def gradient_failure(self, mine: Any, theirs: Any, leaves: dict[int, Any], second: bool) -> str | None:
        process = self.sample.output_process_fn_grad
        theirs, mine = flat(process(theirs)), flat(process(mine))
        tensors = [t for t in flat([self.sample.input, self.sample.args, self.sample.kwargs]) if id(t) in leaves]
        tensors = list({id(t): t for t in tensors}.values())
        variables = [leaves[id(t)] for t in tensors]
        torch.manual_seed(5)
        for order in ("", "second, ") if second else ("",):  # the second also by what the first was weighted with
            pairs = [
                (m, t)
                for m, t in zip(mine, theirs, strict=True)
                if isinstance(t, torch.Tensor) and t.requires_grad and (not order or t.numel())
            ]
            if order:  # what depends on nothing is off the tape here: torch's derivatives of it are zeros
                off = [t for m, t in pairs if not m.requires_grad]
                slopes = (
                    torch.autograd.grad([t.sum() for t in off], tensors, allow_unused=True, retain_graph=True)
                    if off
                    else ()
                )
                if any(s is not None and s.any() for s in slopes):
                    return f"{order}a result has no gradient"
                pairs = [(m, t) for m, t in pairs if m.requires_grad]
            lost = [i for i, (m, _) in enumerate(pairs) if m is None or not m.requires_grad]
            if lost:
                return f"{order}result {lost[0]} has no gradient"
            if not pairs:
                return None
            weights = [torch.randn_like(t).requires_grad_(second and not order) for _, t in pairs]
            converted = [convert(w) for w in weights]
            options = {"allow_unused": True, "create_graph": second and not order}
            try:
                theirs = torch.autograd.grad([t for _, t in pairs], tensors, weights, **options)
            except Exception:
                assert order, f"torch has no gradient of {self.key}"
                return None
            try:
                mine = fb.autograd.grad([m for m, _ in pairs], variables, converted, **options)
            except Exception as error:
                return f"{order}{type(error).__name__}: {str(error)[:300]}"
            for i, (g, e) in enumerate(zip(mine, theirs, strict=True)):
                if e is None and g is not None:
                    e = torch.zeros(tuple(g.shape), dtype=tensors[i].dtype)
                if g is None and e is not None:
                    g = convert(torch.zeros_like(e.detach()))
                if e is not None and (wrong := difference(g, e, self.key)):
                    return f"{order}by input {i}: {wrong}"
            both = [(m, t) for m, t in zip(mine, theirs, strict=True) if m is not None and t is not None]
            mine, theirs = [m for m, _ in both], [t for _, t in both]
            tensors, variables = [*tensors, *weights], [*variables, *converted]
        return None


def apart(x: Any) -> Any:
    """The same nest with tensors of their own that require no grad."""
    return torch.utils._pytree.tree_map(lambda v: v.detach().clone() if isinstance(v, torch.Tensor) else v, x)


def as_called(info: Any, sample: Any) -> Any:
    """The sample with the arguments that `info.gradcheck_wrapper` makes of it, for a wrapper of torch's functions."""
    from torch.testing._internal.opinfo.core import SampleInput

    def record(x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        x = x.detach().requires_grad_(sample.input.requires_grad)
        return SampleInput(x, args=args, kwargs=kwargs, output_process_fn_grad=sample.output_process_fn_grad)

    return info.gradcheck_wrapper(record, sample.input, *sample.args, **sample.kwargs)


def cases(key: str, dtype: torch.dtype, limit: int = SAMPLES) -> Iterator[Case]:
    info = op_infos()[key]
    if dtype not in info.supported_dtypes("cpu"):
        return
    differentiated = torch.float64 if torch.float64 in info.supported_dtypes("cpu") else torch.complex128
    wants_gradient = dtype is differentiated and info.supports_autograd
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    for sample in itertools.islice(info.sample_inputs("cpu", dtype, requires_grad=wants_gradient), limit):
        yield Case(key, dtype, as_called(info, sample) if key in WRAPPED_BY_TORCH else sample)


def error_failures(key: str) -> Iterator[str]:
    """Where torch raises, flambeau must raise the same kind."""
    info = op_infos()[key]
    function = ours(key)
    if info.error_inputs_func is None:
        return
    torch.manual_seed(7)
    for case in info.error_inputs("cpu"):
        sample = case.sample_input
        if info.name.startswith("__") and not isinstance(sample.input, torch.Tensor):
            continue  # Python itself sees to the type of `self`
        if "out" in sample.kwargs:
            continue  # OUT_TAKES_CASTS
        if case.error_type is Exception and not all(isinstance(a, torch.Tensor) for a in (sample.input, *sample.args)):
            continue  # NUMBERS_TAKEN: torch's samples of this kind say no more than that something is raised
        if any(d.covers("errors", None, sample) for d in DIFFERENCES.get(key, ())):
            continue
        try:
            args, kwargs = convert((sample.input, *sample.args)), convert(sample.kwargs)
        except NotImplementedError:
            continue
        try:
            seeded(lambda: function(*args, **kwargs))  # noqa: B023
        except Exception as error:
            if not isinstance(error, case.error_type):
                yield f"errors: ({show(sample)}) {type(error).__name__} {error} instead of {case.error_type.__name__}"
        else:
            yield f"errors: ({show(sample)}) nothing raised instead of {case.error_type.__name__}: {case.error_regex}"


def sweep(key: str, limit: int = SAMPLES) -> tuple[list[str], set[Difference]]:
    """All failures of an operator, and the known differences that were met."""
    found: list[str] = []
    used: set[Difference] = set()
    for dtype in DTYPES:
        for i, case in enumerate(cases(key, dtype, limit)):
            for text in case.failures(forms=i < DRAWN_FROM, second=i < TWICE):
                found.append(f"{key} {str(dtype).removeprefix('torch.')}: ({show(case.sample)}) {text}")
            used |= case.used
    found += [f"{key} {text}" for text in error_failures(key)]
    return found, used


def usual_sample(key: str) -> Case | None:
    """The sample that stands for the operator: with a gradient and in float64 where it has these, small but no trifle."""
    supported = [d for d in DTYPES if d in op_infos()[key].supported_dtypes("cpu")]
    for dtype in supported:
        few = [c for c in cases(key, dtype, DRAWN_FROM) if c.convertible() and not c.known("forward")]
        if few:
            return min(few, key=lambda case: _trifle(case.sample))
    return None


def _trifle(sample: Any) -> tuple[bool, int]:
    """What to minimise: no gradient, then how far the number of elements is from a dozen (an empty tensor: far)."""
    tensors = [t for t in flat([sample.input, sample.args, sample.kwargs]) if isinstance(t, torch.Tensor)]
    sizes = [t.numel() for t in tensors]
    return not any(t.requires_grad for t in tensors), abs(sum(sizes) - 12) if all(sizes) else 10**9


def main(arguments: list[str]) -> int:
    if "--missing" in arguments:
        names = sorted({op.name for key, op in op_infos().items() if ours(key) is None})
        print(f"{len(names)} missing:", *names, sep="\n  ")
        return 0
    keys = [k for k in known() if k in arguments or op_infos()[k].name in arguments] if arguments else sorted(known())
    totals: collections.Counter[str] = collections.Counter()
    for key in keys:
        found, _ = sweep(key)
        totals[key] = len(found)
        print(f"{key}: {'same' if not found else f'{len(found)} differences'}", flush=True)
        for text in found[:8]:
            print("   ", text, flush=True)
    wrong = [key for key, n in totals.items() if n]
    print(f"{len(keys)} operators, {len(wrong)} differ: {' '.join(wrong)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
