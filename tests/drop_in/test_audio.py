"""The operators of torchaudio's C++ library, against all paths and plain loops."""

import itertools

import numpy as np
import pytest

import flambeau as fb


@pytest.fixture(scope="module")
def ops():
    for name in ("_torchaudio", "libtorchaudio"):
        fb.ops.load_library(f"/somewhere/torchaudio/lib/{name}.abi3.so")
    assert fb.ops._torchaudio.is_align_available() and fb.ops._torchaudio.cuda_version() is None
    return fb.ops.torchaudio


def transducer(scores, labels, blank):
    """-log of the sum over all paths: which of the steps before the last, a blank, are labels."""
    frames, total = len(scores), -np.inf
    for places in itertools.combinations(range(frames - 1 + len(labels)), len(labels)):
        t = u = 0
        path = 0.0
        for step in range(frames - 1 + len(labels)):
            path += scores[t, u, labels[u] if step in places else blank]
            t, u = (t, u + 1) if step in places else (t + 1, u)
        total = np.logaddexp(total, path + scores[t, u, blank])
    return -total


def test_transducer(ops):
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((2, 4, 3, 5)).astype(np.float32)
    targets, times, counts = ([[1, 2], [3, 0]], [4, 3], [2, 1])

    def wanted(logits):
        scores = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        parts = zip(scores, targets, times, counts, strict=True)
        return [transducer(s[:t, : n + 1], labels[:n], 4) for s, labels, t, n in parts]

    rest = [fb.tensor(numbers, dtype=fb.int32) for numbers in (targets, times, counts)]
    costs, gradient = ops.rnnt_loss_forward(fb.tensor(logits), *rest, 4, -1.0, True)
    np.testing.assert_allclose(costs.numpy(), wanted(logits), rtol=1e-5)
    exact = logits.astype(np.float64)
    for place in [(0, 0, 0, 1), (0, 3, 2, 4), (1, 1, 0, 3), (1, 2, 1, 0), (1, 3, 0, 4), (1, 0, 2, 1)]:
        moved = np.zeros_like(exact)
        moved[place] = 1e-5
        slope = (sum(wanted(exact + moved)) - sum(wanted(exact - moved))) / 2e-5
        np.testing.assert_allclose(gradient[place].item(), slope, atol=2e-6)
    cut = ops.rnnt_loss_forward(fb.tensor(logits), *rest, 4, 0.05, True)[1]
    assert fb.equal(cut, gradient.clamp(-0.05, 0.05)) and not fb.equal(cut, gradient)
    with pytest.raises(RuntimeError, match="targets must be int32 type"):
        ops.rnnt_loss_forward(fb.tensor(logits), rest[0].long(), *rest[1:], 4, -1.0, True)


@pytest.mark.parametrize("labels", [[1, 1, 2], [2], [1, 2, 3]])
def test_alignment(ops, labels):
    scores = np.random.default_rng(1).standard_normal((6, 4))
    spelled = lambda path: [k for k, _ in itertools.groupby(path) if k]  # noqa: E731
    paths = [p for p in itertools.product(range(4), repeat=6) if spelled(p) == labels]
    best = max(paths, key=lambda p: sum(scores[range(6), p]))
    lengths = fb.tensor([6]), fb.tensor([len(labels)])
    assert ops.forced_align(fb.tensor(scores)[None], fb.tensor([labels]), *lengths, 0)[0].tolist() == [list(best)]
    with pytest.raises(RuntimeError, match=r"too long for CTC.*number of repeats: 5"):
        ops.forced_align(fb.tensor(scores)[None], fb.ones(1, 6, dtype=fb.int64), fb.tensor([6]), fb.tensor([6]), 0)


def test_filters(ops):
    rng = np.random.default_rng(2)
    x, taps = rng.standard_normal((2, 3, 7)), rng.standard_normal((3, 3)) / 2
    wanted = np.zeros((2, 3, 9))
    for t in range(7):
        wanted[:, :, t + 2] = x[:, :, t] - (wanted[:, :, t : t + 2] * taps[:, :2]).sum(-1)
    padded = fb.zeros(2, 3, 9, dtype=fb.float64)
    ops._lfilter_core_loop(fb.tensor(x), fb.tensor(taps), padded)
    np.testing.assert_allclose(padded.numpy(), wanted, atol=1e-12)

    wave, temp, made = rng.standard_normal((2, 5)), rng.standard_normal((2, 5)), np.zeros((2, 5))
    before, out = np.zeros(2), np.zeros(2)
    for t in range(5):
        out, before = temp[:, t] - before + 0.995 * out, temp[:, t]
        made[:, t] = wave[:, t] * 0.5 + out * 0.75
    held = [fb.zeros(2, dtype=fb.float64), fb.zeros(2, dtype=fb.float64), fb.zeros(2, 5, dtype=fb.float64)]
    ops._overdrive_core_loop(fb.tensor(wave), fb.tensor(temp), *held)
    for tensor, value in zip(held, (before, out, made), strict=True):
        np.testing.assert_allclose(tensor.numpy(), value, atol=1e-12)
