"""The short-time Fourier transform and its inverse: overlapping frames of a signal, each in a window, transformed."""

from __future__ import annotations

import functools
import math
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...core.array.dtypes import FLOAT
from ...core.array.size import normalized_dim
from ...core.dispatch.checks import demand
from ...core.dispatch.messages import message
from ...core.dispatch.operator import Array, composite, operator
from ...core.dispatch.view import view
from ...core.tensor.tensor import Tensor
from ..layers.padding import pad
from ..shape.complex_parts import view_as_real
from ..shape.views import _permuted

_FEW = 16  # frames that are joined of so many slices at most; more take a gather

# --- frames ----------------------------------------------------------------------------------------------------------


def _frames(x: jax.Array, size: int, hop: int) -> jax.Array:
    """The frames of `size` elements of the last dimension that begin `hop` apart: (..., frames, size)."""
    count = 1 + (x.shape[-1] - size) // hop
    slices = -(-size // hop)
    if slices > _FEW:
        places = np.arange(count)[:, None] * hop + np.arange(size)
        return jnp.take(x, places, -1, mode="clip")
    short = (count + slices - 1) * hop - x.shape[-1]
    x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, max(short, 0))])[..., : (count + slices - 1) * hop]
    steps = x.reshape(*x.shape[:-1], count + slices - 1, hop)
    parts = [lax.slice_in_dim(steps, k, k + count, axis=-2) for k in range(slices)]
    return jnp.concatenate(parts, -1)[..., :size]


def _overlapped(frames: jax.Array, hop: int) -> jax.Array:
    """The sum of frames that begin `hop` apart: the adjoint of `_frames`."""
    count, size = frames.shape[-2:]
    signal = jax.ShapeDtypeStruct((*frames.shape[:-2], size + hop * (count - 1)), frames.dtype)
    return jax.linear_transpose(lambda x: _frames(x, size, hop), signal)(frames)[0]


def _centred(window: jax.Array | None, length: int, n_fft: int, dtype: Any) -> jax.Array:
    """The window in the middle of `n_fft` zeros; None is one of ones."""
    window = jnp.ones((length,), dtype) if window is None else window
    before = (n_fft - length) // 2
    return jnp.pad(window, (before, n_fft - length - before))


@operator(promote="common", methods=False, public=())
def _stft(
    input: Array, window: Array | None, *, n_fft: int, hop: int, length: int, offset: int, ortho: bool, onesided: bool
) -> Array:
    centred = _centred(window, length, n_fft, input.dtype)
    if offset:  # frames begin at the window's first element, not at the transform's
        input = jnp.pad(input, [(0, 0)] * (input.ndim - 1) + [(offset, n_fft - length - offset)])
    frames = _frames(input, n_fft, hop) * centred
    norm = "ortho" if ortho else None
    if onesided:
        return jnp.fft.rfft(frames, norm=norm)
    return jnp.fft.fft(frames, norm=norm)


@view(public=(), methods=(), grad="SqueezeBackward4")
def _turned(g: Any) -> Any:
    """Frequencies before frames."""
    order = list(range(len(g.shape)))
    order[-2:] = order[:-3:-1]
    return _permuted(g, order)


# --- what is refused -------------------------------------------------------------------------------------------------


def _kind(tensor: Tensor) -> str:
    name = tensor.type()
    return f"CPU{tensor.dtype.abbr}Type" if tensor.is_complex() else name


def _described(name: str, input: Tensor, **options: Any) -> str:
    """The call as it stands before the texts of errors."""
    if (window := options["window"]) is not None:
        options["window"] = f"{_kind(window)}{{{list(window.shape)}}}"
    shown = ", ".join(f"{k}={int(v) if isinstance(v, bool) else v}" for k, v in options.items())
    return f"{name}({_kind(input)}{list(input.shape)}, {shown})"


@functools.cache
def _warn(text: str) -> None:
    """Warn once in a process."""
    warnings.warn(text, stacklevel=5)


def _warn_of_no_window(what: str) -> None:
    _warn(
        f"A window was not provided. A rectangular window will be applied{what}To suppress this warning and use a "
        "rectangular window, explicitly set `window=torch.ones(n_fft, device=<device>)`."
    )


def _check_frames(call: str, input: Tensor, n_fft: int, hop: int, length: int, window: Tensor | None) -> None:
    if input.dtype.category < FLOAT:
        raise RuntimeError(f"{call} : expected a tensor of floating point or complex values")
    if input.ndim not in (1, 2):
        raise RuntimeError(f"{call} : expected a 1D or 2D tensor")
    size = input.shape[-1]
    if not 0 < n_fft <= size:
        raise RuntimeError(f"{call} : expected 0 < n_fft < {size}, but got n_fft={n_fft}")
    if hop <= 0:
        raise RuntimeError(f"{call} : expected hop_length > 0, but got hop_length={hop}")
    if not 0 < length <= n_fft:
        raise RuntimeError(f"{call} : expected 0 < win_length <= n_fft, but got win_length={length}")
    if window is not None and tuple(window.shape) != (length,):
        raise RuntimeError(
            f"{call} : expected a 1D window tensor of size equal to win_length={length}, but got window with size "
            f"{list(window.shape)}"
        )
    if "Half" in input.dtype.abbr or input.dtype.abbr == "BFloat16":
        raise RuntimeError(f"MKL FFT doesn't support tensors of type: {input.dtype.abbr}")


# --- the transform ---------------------------------------------------------------------------------------------------


@composite(in_python=True)
def stft(
    input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
    window: Tensor | None = None, center: bool = True, pad_mode: str = "reflect", normalized: bool = False,
    onesided: bool | None = None, return_complex: bool | None = None, align_to_window: bool | None = None,
) -> Tensor:  # fmt: skip
    """Fourier transforms of overlapping frames of a signal. Shapes: `(*, T)` gives `(*, frequencies, frames)`, * a batch or none.

    Frames of `n_fft` elements begin `hop_length` (a quarter of `n_fft`) apart and are multiplied by `window`, which has
    `win_length` (`n_fft`) elements and stands in their middle. With `center` the signal is padded, so that frame t is around
    element `t * hop_length`; without, `align_to_window` has frames begin at the window rather than at the transform's start.
    `onesided` (real signals: the default) leaves out the frequencies that follow by symmetry. Real signals need
    `return_complex`; False gives a last dimension of real and imaginary parts.
    """
    if center and align_to_window is not None:
        raise RuntimeError(message("stft_align_to_window"))
    if center:
        input = _padded(input, n_fft // 2, pad_mode)
    hop = n_fft >> 2 if hop_length is None else hop_length
    length = n_fft if win_length is None else win_length
    if window is None:
        _warn_of_no_window(
            ",which is known to cause spectral leakage. Other windows such as torch.hann_window or torch.hamming_window "
            "are recommended to reduce spectral leakage."
        )
    call = _described(
        "stft", input, n_fft=n_fft, hop_length=hop, win_length=length, window=window, normalized=normalized,
        onesided=onesided, return_complex=return_complex, align_to_window=align_to_window,
    )  # fmt: skip
    whole = input.is_complex() or (window is not None and window.is_complex())
    if return_complex is None:
        if not whole:
            raise RuntimeError(
                "stft requires the return_complex parameter be given for real inputs, and will further require that "
                "return_complex=True in a future PyTorch release."
            )
        return_complex = True
    _check_frames(call, input, n_fft, hop, length, window)
    if not return_complex and not whole:
        _warn(
            "stft with return_complex=False is deprecated. In a future pytorch release, stft will return complex tensors "
            "for all inputs, and return_complex=False will raise an error.\nNote: you can still call torch.view_as_real "
            "on the complex output to recover the old return format."
        )
    if whole and onesided:
        raise RuntimeError(message("stft_onesided_complex"))
    made = _stft(
        input, window, n_fft=n_fft, hop=hop, length=length, ortho=bool(normalized),
        offset=(n_fft - length) // 2 if align_to_window else 0, onesided=not whole if onesided is None else bool(onesided),
    )  # fmt: skip
    turned = _turned(made)
    return turned if return_complex else view_as_real(turned)


def _padded(input: Tensor, width: int, mode: str) -> Tensor:
    batched = input.view((1,) * (3 - input.ndim) + tuple(input.shape)) if input.ndim < 3 else input
    padded = pad(batched, [width, width], mode)
    return padded.view(*input.shape[:-1], input.shape[-1] + 2 * width if input.ndim else -1)


# --- the inverse -----------------------------------------------------------------------------------------------------


def _envelope(window: Any, length: int, n_fft: int, hop: int, count: int, dtype: Any) -> jax.Array:
    """What the squares of the windows sum up to at each place."""
    centred = _centred(window, length, n_fft, dtype)
    return _overlapped(jnp.broadcast_to(centred * centred, (count, n_fft)), hop)


@operator(methods=False, public=(), grad="SqueezeBackward1")
def _istft(
    input: Array, window: Array | None, *, n_fft: int, hop: int, length: int, ortho: bool, start: int, end: int,
    extra: int, real: bool,
) -> Array:  # fmt: skip
    spectra = jnp.swapaxes(input, -1, -2)
    norm = "ortho" if ortho else None
    if real:  # the upper half of all frequencies is not looked at
        frames = jnp.fft.irfft(spectra[..., : n_fft // 2 + 1], n_fft, norm=norm)
    else:
        frames = jnp.fft.ifft(spectra, norm=norm)
    total = _overlapped(frames * _centred(window, length, n_fft, frames.dtype), hop)
    share = _envelope(window, length, n_fft, hop, spectra.shape[-2], frames.dtype)
    made = total[..., start:end] / share[start:end]
    return jnp.pad(made, [(0, 0)] * (made.ndim - 1) + [(0, extra)]) if extra else made


def _demand_cover(
    call: str, window: Tensor | None, length: int, n_fft: int, hop: int, count: int, start: int, end: int
) -> None:
    """Raise RuntimeError where no window covers a place of the result."""

    def look(values: Any) -> tuple[Any, Any]:
        share = _envelope(values, length, n_fft, hop, count, np.float64)[start:end]
        bad = jnp.min(jnp.abs(share), initial=math.inf).reshape(1) <= 1e-11
        return (bad if isinstance(bad, jax.core.Tracer) else np.asarray(bad)), np.zeros(1, np.int64)

    def error(_: int) -> Exception:
        return RuntimeError(f"{call} window overlap add min: 1\n[ CPUBoolType{{}} ]")

    if window is not None:
        demand(look, error, window)
    elif look(None)[0].any():
        raise error(0)


def _check_spectra(
    call: str, input: Tensor, n_fft: int, hop: int, length: int, window: Tensor | None, one: Any
) -> None:
    if input.numel() == 0:
        raise RuntimeError(f"{call} : input tensor cannot be empty.")
    if input.ndim not in (2, 3):
        raise RuntimeError(f"{call} : expected a tensor with 3 or 4 dimensions, but got {input.ndim + 1}")
    frequencies = input.shape[-2]
    if one and frequencies != n_fft // 2 + 1:
        raise RuntimeError(
            f"{call} : expected the frequency dimension (3rd to the last) of the input tensor to match n_fft / 2 + 1 when "
            f"onesided=True, but got {frequencies}"
        )
    if not one and frequencies != n_fft:
        raise RuntimeError(
            f"{call} : expected the frequency dimension (3rd to the last) of the input tensor to match n_fft when "
            f"onesided=False, but got {frequencies}"
        )
    if not 0 < hop <= length:
        raise RuntimeError(f"{call} : expected 0 < hop_length <= win_length")
    if not 0 < length <= n_fft:
        raise RuntimeError(f"{call} : expected 0 < win_length <= n_fft")
    if window is not None and tuple(window.shape) != (length,):
        what = "window"
        raise RuntimeError(f"{call} : Invalid window shape. {what} has to be 1D and length of `win_length`")


@composite(in_python=True)
def istft(
    input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
    window: Tensor | None = None, center: bool = True, normalized: bool = False, onesided: bool | None = None,
    length: int | None = None, return_complex: bool = False,
) -> Tensor:  # fmt: skip
    """The signal of which `stft` with the same arguments made the input (Griffin and Lim, 1984): the frames, in their
    windows once more, are summed and divided by the sum of the squared windows. RuntimeError where that sum is 0.

    Shapes: `(*, frequencies, frames)` gives `(*, length)`; without `length` as much as the frames tell of.
    """
    if window is None:
        _warn_of_no_window(".Please provide the same window used by stft to make the inversion lossless.")
    hop = n_fft >> 2 if hop_length is None else hop_length
    width = n_fft if win_length is None else win_length
    call = _described(
        "istft", input, n_fft=n_fft, hop_length=hop, win_length=width, window=window, center=center,
        normalized=normalized, onesided=onesided, length=length, return_complex=return_complex,
    )  # fmt: skip
    if not input.is_complex():
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with return_complex=True."
        )
    if input.ndim < 2:
        normalized_dim(-3, input.ndim + 1)
    one = input.shape[-2] != n_fft if onesided is None else bool(onesided)
    _check_spectra(call, input, n_fft, hop, width, window, one)
    if not return_complex and window is not None and window.is_complex():
        raise RuntimeError("Complex windows are incompatible with return_complex=False")
    if return_complex and one:
        raise RuntimeError(message("stft_onesided_complex"))
    count = input.shape[-1]
    full = n_fft + hop * (count - 1)
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else full - n_fft // 2 if center else full
    have = min(end, full)
    if have <= start:
        given = "specified"
        raise RuntimeError(
            f"min(): Expected reduction dim to be {given} for input.numel() == 0. Specify the reduction dim with the 'dim' "
            f"argument. (istft: with length={length} nothing is left of {full} elements)"
        )
    _demand_cover(call, window, width, n_fft, hop, count, start, have)
    if end > have:
        _warn(message("istft_padded"))
    return _istft(
        input, window, n_fft=n_fft, hop=hop, length=width, ortho=bool(normalized), start=start, end=have, extra=end - have, real=not return_complex,
    )  # fmt: skip
