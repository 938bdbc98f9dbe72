"""The short-time Fourier transform, its inverse, and `torch.signal.windows`, against torch."""

from __future__ import annotations

import inspect
import math
import warnings

import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau.ops.spectral import short_time
from support.expressions import check, check_gradient
from support.values import to_flambeau

SIGNAL = torch.sin(torch.arange(40.0, dtype=torch.float64) ** 1.5)
VALUES = {"x": SIGNAL, "w": torch.hann_window(8, dtype=torch.float64), "c": torch.complex(SIGNAL, SIGNAL.cos())}
SPECTRA = {
    "X": torch.stft(SIGNAL, 8, window=VALUES["w"], return_complex=True),
    "Y": torch.stft(VALUES["c"], 8, window=VALUES["w"], return_complex=True),
    "w": VALUES["w"],
}
NO_WINDOW = "ignore:A window was not provided:UserWarning"
DEPRECATED = "ignore:stft with return_complex=False is deprecated:UserWarning"


@pytest.mark.filterwarnings(NO_WINDOW, DEPRECATED)
@pytest.mark.parametrize(
    "arguments",
    """x, 8 | x, 8, return_complex=True | x, 8, window=w, return_complex=False | x, 8, window=w, win_length=6, return_complex=True
    x, 8, window=w[:5], win_length=5, return_complex=True
    x, 8, win_length=9, return_complex=True | x, 8, win_length=0, return_complex=True
    x, 8, hop_length=0, return_complex=True | x, 8, 1, return_complex=True | x, 17, 1, return_complex=True | x, 8, 5, return_complex=True
    x, 50, return_complex=True | x, 50, center=False, return_complex=True | x, 0, return_complex=True | x, -3, return_complex=True
    x, 100, pad_mode='constant', return_complex=True | x, 8, pad_mode='foo', return_complex=True | x, 8, pad_mode='circular', return_complex=True
    x, 8, pad_mode='replicate', return_complex=True | x.view(1, 1, 40), 8, return_complex=True | x[0], 8, return_complex=True
    x.long(), 8, return_complex=True | x.half(), 8, return_complex=True | x, 8, window=w.view(2, 4), return_complex=True
    x, 8, window=w.float(), return_complex=True | x, 8, window=w * 1j | x, 8, window=w * 1j, onesided=True | c, 8 | c, 8, onesided=True
    c, 8, return_complex=False | x.view(2, 20), 8, onesided=False, return_complex=True | x.view(2, 20), 8, normalized=True, return_complex=True
    x, 8, return_complex=True, align_to_window=True
    x.view(2, 20), 8, center=False, win_length=4, window=w[:4], return_complex=True, align_to_window=True
    x.view(2, 20), 8, center=False, win_length=5, window=w[:5], return_complex=True, align_to_window=False""".replace(
        "\n", "|"
    ).split("|"),
)
def test_stft(arguments: str) -> None:
    check(f"torch.stft({arguments.strip()})", VALUES)


@pytest.mark.filterwarnings(NO_WINDOW, "ignore:The length of signal is shorter:UserWarning")
@pytest.mark.parametrize(
    "arguments",
    """X, 8 | X, 8, window=w | X, 8, window=w, length=30 | X, 8, window=w, length=50 | X, 8, window=w, length=0 | X, 8, window=w, center=False
    X, 8, center=False | X, 8, normalized=True | X, 8, window=w, return_complex=True | X, 8, window=w, onesided=False | X, 9, window=w
    X, 8, win_length=9, window=w | X, 8, win_length=6, window=w | X, 8, win_length=6, window=w[:6] | X, 8, hop_length=0 | X, 8, hop_length=9
    X, 8, 3, window=w | X, 8, 1, window=w | torch.view_as_real(X), 8 | X.real, 8 | X[None, None], 8 | X[None], 8, window=w | X[0], 8 | X[:, :0], 8
    X, 8, window=w.float() | X, 8, window=w * 1j | Y, 8, window=w, return_complex=True | Y, 8, window=w
    Y, 8, window=w * (1 + 1j), return_complex=True
    X, 8, window=w * 0 | X, 8, window=w.view(2, 4)""".replace("\n", "|").split("|"),
)
def test_istft(arguments: str) -> None:
    check(f"torch.istft({arguments.strip()})", SPECTRA)


@pytest.mark.parametrize("hop", [1, 2, 3, 8])
@pytest.mark.parametrize("size", [8, 20])
def test_gradients(size: int, hop: int) -> None:
    window = torch.linspace(0.2, 1.0, size, dtype=torch.float64)
    check_gradient(f"torch.stft(x, {size}, {hop}, window=w, return_complex=True).abs()", {"x": SIGNAL, "w": window})
    check_gradient(
        f"torch.istft(torch.complex(a, a.flip(0)), {size}, {hop}, window=w)",
        {"a": torch.stft(SIGNAL, size, hop, window=window, return_complex=True).real, "w": window},
    )


def test_the_inverse_gives_the_signal_back_in_a_compiled_function() -> None:
    window, x = fb.hann_window(16, dtype=fb.float64), to_flambeau(SIGNAL)
    there = fb.compile(lambda x, w: fb.istft(fb.stft(x, 16, window=w, return_complex=True), 16, window=w, length=40))
    np.testing.assert_allclose(there(x, window).numpy(), SIGNAL.numpy(), atol=1e-12)
    with pytest.raises(RuntimeError, match="window overlap add min"):
        there(x, window * 0)


def test_a_missing_window_is_told_of() -> None:
    short_time._warn.cache_clear()
    with pytest.warns(UserWarning, match="A window was not provided. A rectangular window will be applied,which"):
        fb.stft(to_flambeau(SIGNAL), 8, return_complex=True)
    with warnings.catch_warnings(record=True) as more:
        warnings.simplefilter("always")
        fb.stft(to_flambeau(SIGNAL), 8, return_complex=True)
    assert not more  # once in a process, as in torch


def test_as_methods_with_their_derivatives_names() -> None:
    x, window = to_flambeau(SIGNAL).requires_grad_(), fb.ones(8, dtype=fb.float64)
    made = x.stft(8, window=window, return_complex=True)
    assert made.stride() == (1, 5) and made.grad_fn.name() == "SqueezeBackward4"
    assert made.istft(8, window=window).grad_fn.name() == "SqueezeBackward1"


# ---------------------------------------------------------------- windows

OWN = {"exponential": ["tau=0.0", "tau=3.0", "center=1.0", "center=1.0, sym=False"], "kaiser": ["beta=-1", "beta=3.0", "beta=0"],
       "gaussian": ["std=0", "std=2.5"], "general_hamming": ["alpha=0.3"], "general_cosine": ["a=3", "a=[]", "a=(0.5, 0.2)"]}  # fmt: skip


@pytest.mark.parametrize("name", torch.signal.windows.__all__)
def test_windows(name: str) -> None:
    needed = ", a=[0.5, 0.3, 0.1]" if name == "general_cosine" else ""
    calls = [f"{m}{needed}{more}" for m in (0, 1, 2, 5, 12) for more in ("", ", sym=False", ", dtype=torch.float64")]
    calls += [
        f"5{needed}, {more}"
        for more in ("dtype=torch.int64", "dtype=torch.bfloat16", "layout=torch.sparse_coo", "foo=1")
    ]
    calls += [
        f"-1{needed}",
        f"5.0{needed}",
        f"5{needed}, requires_grad=True",
        *(f"6, {more}" for more in OWN.get(name, ())),
    ]
    for call in calls:
        check(f"torch.signal.windows.{name}({call})", {}, rtol=1e-5 if "float64" not in call else None)
    theirs = inspect.signature(getattr(torch.signal.windows, name)).parameters
    ours = inspect.signature(getattr(fb.signal.windows, name)).parameters
    assert [(p.name, p.kind) for p in ours.values()] == [(p.name, p.kind) for p in theirs.values()]
    defaults = [p.default for p in theirs.values() if isinstance(p.default, (int, float, type(None)))]
    assert [p.default for p in ours.values() if isinstance(p.default, (int, float, type(None)))] == defaults


def test_a_periodic_hann_window_sums_to_a_constant() -> None:
    window = fb.signal.windows.hann(16, sym=False, dtype=fb.float64)
    assert math.isclose(float((window[:8] + window[8:]).std()), 0, abs_tol=1e-12)
