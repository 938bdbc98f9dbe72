"""What pools refuse: each kind of PyTorch's has words of its own."""

from __future__ import annotations

from collections.abc import Sequence

import jax

from ...core.array.size import out_of_range
from ...core.dispatch.messages import message

_SPELT = {1: "one", 2: "two", 3: "three"}


def wrong_count(function: str, n: int, name: str, values: tuple[int, ...]) -> str:
    omitted = name == "stride"
    if function == "max_pool1d":
        kinds = (
            ("None, " if omitted else "")
            + "an int, list of ints"
            + ("," if name in ("stride", "padding") else "")
            + " or"
        )
        return f"{function}() {name} must be {kinds} tuple of ints of size 1 but got size {len(values)}"
    if n == 1:
        return f"{function}() argument '{name}' should contain one int (got {len(values)})"
    kinds = "omitted, a single int" if omitted else "a single int"
    be = "be" if function == "avg_pool3d" else "either be"
    return f"{function}: {name} must {be} {kinds}, or a tuple of {_SPELT[n]} ints, but got {values}"


def not_positive(name: str, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> RuntimeError:
    if name == "max_pool1d":
        given = (("kernel_size", kernel[0]), ("stride", stride[0]), ("dilation", dilation[0]))
        what, value = next((what, value) for what, value in given if value <= 0)
        return RuntimeError(f"{name}() {what} must be greater than zero, but got {value}")
    if 0 in stride:
        return RuntimeError(f"stride should not be zero, but got {list(stride)}")
    for what, letter, sizes in (
        ("kernel size", "k", kernel),
        ("stride", "d", stride),
        ("dilation", "dilation", dilation),
    ):
        if min(sizes) <= 0:
            sides = "THW"[-max(len(sizes), 2) :]
            shown = " ".join(
                f"{letter}{side}: {size}" for side, size in zip(sides, (1, *sizes)[-len(sides) :], strict=True)
            )
            return RuntimeError(f"{what} should be greater than zero, but got {shown}")
    raise AssertionError("all sizes are positive")


def require_padding(name: str, k: int, p: int, d: int) -> None:
    if p < 0:
        said = f"{name}() padding must be non-negative, but got {p}: " if name == "max_pool1d" else f"{name}'s "
        raise RuntimeError(f"{said}pad must be non-negative, but got pad: {p}")
    said = f"pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and dilation={d}"
    if p > k // 2 and name == "max_pool1d":  # PyTorch says the first of it, and the other where indices are asked for
        half = f"{name}() padding should be at most half of kernel size, but got padding={p} and kernel_size={k}"
        raise RuntimeError(f"{half}: {said}" if p > (d * (k - 1) + 1) // 2 else half)
    if p > (d * (k - 1) + 1) // 2:
        raise RuntimeError(said)


def too_much_padding(kernel: Sequence[int], padding: Sequence[int]) -> str:
    given = [(letter, side, sizes["THW".index(side) - 3]) for letter, sizes in (("k", kernel), ("pad", padding))
             for side in ("WH", "TWH")[len(kernel) - 2]]  # fmt: skip
    if len(kernel) == 3:
        shown = " ".join(f"{letter}{side}: {size}" for letter, side, size in given)
    else:
        shown = ", ".join(f"{letter}{side} = {size}" for letter, side, size in given[2:] + given[:2])
    return message("padding_over_half", sizes=shown)


def too_small(name: str, planes: int, sizes: Sequence[int], counts: Sequence[int], kernel: Sequence[int]) -> str:
    if len(sizes) == 1:  # computed as in two dimensions, of which PyTorch tells
        sizes, counts = (1, *sizes), (1, *counts)
    said = (
        f"{name}: Given input size: ({'x'.join(map(str, (planes, *sizes)))}). Calculated output size: "
        f"({'x'.join(map(str, (planes, *counts)))}). Output size is too small"
    )
    if name == "max_pool1d":
        return f"{name}() Invalid computed output size: {counts[-1]}. {said}"
    if name == "avg_pool3d":
        image, window = (
            " ".join(f"{letter}{side}: {n}" for side, n in zip("THW", given, strict=True))
            for letter, given in (("", sizes), ("k", kernel))
        )
        return f"input image ({image}) smaller than kernel size ({window}). {said}"
    return said


def negative(name: str, others: tuple[int, ...], counts: Sequence[int]) -> str:
    """In PyTorch's words, which computes one dimension as two."""
    counts = (1, *counts) if len(counts) == 1 else counts
    if "max" in name:
        bad = next(c for c in counts if c < 0)
        made = [*others, *counts]
        return f"Trying to create tensor with negative dimension {bad}: {made}, which is what {name}'s output_size asks for"
    shown = f"{counts[0]}, " + ",".join(map(str, counts[1:]))
    name = name.replace("1d", "2d")
    return f"{name}: elements of output_size must be greater than or equal to 0 but received {{{shown}}}"


def too_few(name: str, input: jax.Array, n: int) -> IndexError:
    if not input.ndim:
        return IndexError(f"Dimension specified as {-n - 1} but tensor has no dimensions: {name} got a number")
    wanted = f"{name} takes an input of {n + 1} or {n + 2} dimensions, not {list(input.shape)}"
    return out_of_range(-n - 1, input.ndim, wanted)


def checked_rank(name: str, input: jax.Array) -> RuntimeError:
    return RuntimeError(
        f"Expected 2 to 3 dimensions, but got {input.ndim}-dimensional tensor for argument #1 'self' "
        f"(while checking arguments for {name})"
    )


def wrong_rank(name: str, input: jax.Array, n: int) -> Exception:
    """PyTorch's text for too few or too many dimensions, which each kind of pool has its own of."""
    shape, either = list(input.shape), f"{n + 1}D or {n + 2}D"
    if n == 1 and name != "max_pool1d":
        return checked_rank(name, input)
    if name.startswith("adaptive"):
        return RuntimeError(f"{name}(): Expected {either} tensor, but got{':' if 'max' in name else ''} {shape}")
    if name == "avg_pool2d" and input.ndim < n + 1:
        return too_few(name, input, n)
    if n > 1 and name != "avg_pool2d":
        return RuntimeError(f"{name}: non-empty {either} (batch mode) tensor expected for input (got {shape})")
    return nothing_to_pool(name, shape, n)


def nothing_to_pool(name: str, shape: list[int], n: int) -> RuntimeError:
    which = "non-batch dimension"
    if n == 3:
        function = "avg_pool3d" if name == "avg_pool3d" else f"{name}_with_indices_out_cpu_template"
        return RuntimeError(
            f"{function}(): Expected input's {which}s to have positive length, "
            f"but input has a shape of {shape} and {which} 0 has length zero!"
        )
    n, shape = (2, [*shape[:-1], 1, shape[-1]]) if name == "avg_pool1d" else (n, shape)
    return RuntimeError(
        f"{name}: Expected {n + 1}D or {n + 2}D (batch mode) tensor with optional 0 dim batch size for input, "
        f"but got:{shape}"
    )
