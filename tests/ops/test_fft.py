"""Fourier transforms, against torch."""

from __future__ import annotations

import pytest
import torch

import flambeau as fb
from support.rows import agree, refuse

ROWS = """
t.fft.fft(f(6))
t.fft.fft(c(5))
t.fft.fft(f(3, 4), n=6, dim=0, norm="ortho")
t.fft.ifft(c(6), n=4, norm="forward")
t.fft.rfft(f(2, 6))
t.fft.rfft(f(5), norm="forward")
t.fft.irfft(c(4))
t.fft.irfft(c(4), n=7)
t.fft.hfft(c(4))
t.fft.hfft(c(4), n=5, norm="ortho")
t.fft.ihfft(f(6))
t.fft.fft2(f(3, 4))
t.fft.ifft2(c(3, 4), s=(2, -1))
t.fft.fftn(f(2, 3, 4), dim=(0, 2))
t.fft.fftn(c(2, 2, 3, 2, 2))
t.fft.rfftn(f(3, 4))
t.fft.rfft2(f(3, 4), s=(4, 6))
t.fft.irfftn(c(3, 4))
t.fft.irfft2(c(2, 3, 4), norm="ortho")
t.fft.hfft2(c(3, 4))
t.fft.ihfftn(f(3, 4))
t.fft.fft(i([1, 2, 3]))
t.fft.fftn(f(2, 2), dim=())
t.fft.fftshift(f(4, 5))
t.fft.ifftshift(f(4, 5), dim=1)
t.fft.fftfreq(5, 0.5)
t.fft.rfftfreq(4)
t.fft.fftfreq(t.tensor(5))
t.fft.fftfreq(4, d=t.tensor(0.5))
t.fft.rfftfreq(t.tensor(5), d=t.tensor(2))
t.signal.windows.gaussian(t.tensor(5), std=2.0)
t.signal.windows.bartlett(t.tensor(4), sym=False)
"""

ERRORS = """
t.fft.fft(h())
t.fft.fft(h(4), n=0)
t.fft.fft(h(0))
t.fft.fft(h(4), norm="x")
t.fft.fft(h(4), dim=2)
t.fft.fft(h(2).half())
t.fft.rfft(c(4).to(t.complex64))
t.fft.irfft(h(1))
t.fft.ihfft(c(4).to(t.complex64))
t.fft.fft2(h(4))
t.fft.fftn(h(4, 4), s=(2, 2, 2))
~ t.fft.fftn(h(4, 4), s=(2, 2), dim=(0,))
t.fft.fftn(h(4, 4), dim=(0, 0))
t.fft.rfftn(h(4, 4), dim=())
t.fft.rfftfreq(5, dtype=t.int32)
t.fft.fftfreq(5, dtype=t.int64)
~ t.fft.fftfreq(t.tensor(5.0))
~ t.signal.windows.gaussian(t.tensor(5.0), std=2.0)
"""


@pytest.mark.parametrize("row", ROWS.strip().splitlines())
def test_transforms(row: str) -> None:
    agree(row, names=False)


@pytest.mark.parametrize("row", ERRORS.strip().splitlines())
def test_errors(row: str) -> None:
    refuse(row)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(("n", "d"), [(100, 1.0), (37, 0.3), (64, 1 / 64)])
def test_frequencies_are_multiples_of_a_rounded_step(n, d, kind):
    for make in ("fftfreq", "rfftfreq"):
        ours, theirs = (getattr(t.fft, make)(n, d, dtype=getattr(t, kind)).tolist() for t in (fb, torch))
        assert ours == theirs
