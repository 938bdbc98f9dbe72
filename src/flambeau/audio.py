"""The operators that torchaudio has in C++, in plain array code: its Python part then runs on flambeau as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._library.supplied import supply
from .core.array import dtypes
from .core.context.grad_mode import no_grad
from .core.dispatch.operator import Array, Static, operator
from .core.tensor.tensor import Tensor
from .ops.indexing.masking import like_on_device
from .ops.support.checks import host_values


def _check(*conditions: tuple[bool, str]) -> None:
    for holds, text in conditions:
        if not holds:
            raise RuntimeError(text)


# --- filters ----------------------------------------------------------------------------------------------------------


@operator(methods=False, public=())
def _recursion(windows: Array, taps: Array, padded: Array) -> Array:
    order = taps.shape[1]

    def step(before: Any, now: Any) -> Any:
        seen = jnp.concatenate([before, now[1][..., None]], -1)
        made = now[0] - (seen * taps).sum(-1)
        return jnp.concatenate([before, made[..., None]], -1)[..., 1:], made

    start, later = padded[..., : order - 1], padded[..., order - 1 :]
    _, made = jax.lax.scan(step, start, (jnp.moveaxis(windows, -1, 0), jnp.moveaxis(later, -1, 0)))
    return jnp.concatenate([start, jnp.moveaxis(made, 0, -1)], -1)


def lfilter_core_loop(windows: Tensor, taps: Tensor, padded: Tensor) -> Tensor:
    """`y[t] = x[t] - sum_k a[k] y[t - k]`, written to `padded` of shape `(batch, channels, order - 1 + time)`.

    `windows` `(batch, channels, time)` is x, `taps` `(channels, order)` the coefficients, the last one first.
    """
    with no_grad():
        return padded.copy_(_recursion(windows, taps, padded))


@operator(methods=False, public=())
def _driven(waveform: Array, temp: Array, last_in: Array, last_out: Array) -> Any:
    def step(last: Any, now: Any) -> Any:
        made = now - last[0] + 0.995 * last[1]
        return (now, made), made

    (last_in, last_out), made = jax.lax.scan(step, (last_in, last_out), temp.T)
    return last_in, last_out, waveform * 0.5 + made.T * 0.75


def overdrive_core_loop(
    waveform: Tensor, temp: Tensor, last_in: Tensor, last_out: Tensor, output_waveform: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The high-pass `o[t] = s[t] - s[t-1] + 0.995 o[t-1]` of the signal `temp` `(N, time)`, mixed with half of `waveform`."""
    held = (last_in, last_out, output_waveform)
    with no_grad():
        for tensor, value in zip(held, _driven(waveform, temp, last_in, last_out), strict=True):
            tensor.copy_(value)
    return held


# --- sequences --------------------------------------------------------------------------------------------------------


def _transducer_costs(logits: Any, targets: Any, times: Any, counts: Any, blank: int, normalize: bool) -> Any:
    batch, most, width, _ = logits.shape
    inside = (jnp.arange(most)[:, None] < times[:, None, None]) & (jnp.arange(width) <= counts[:, None, None])
    logits = jnp.where(inside[..., None], logits, 0)
    scores = jax.nn.log_softmax(logits, -1) if normalize else logits
    silent = scores[..., blank]
    labels = jnp.broadcast_to(targets[:, None, :, None], (batch, most, width - 1, 1)).astype(jnp.int32)
    spoken = jnp.take_along_axis(scores[:, :, :-1], labels, -1)[..., 0]

    def row(above: Any, now: Any) -> Any:
        quiet, loud = now  # of the frame before, and of this one
        reached = above + quiet

        def cell(left: Any, here: Any) -> Any:
            made = jnp.logaddexp(here[0], left + here[1])
            return made, made

        _, rest = jax.lax.scan(cell, reached[:, 0], (reached[:, 1:].T, loud.T))
        made = jnp.concatenate([reached[:, :1], rest.T], 1)
        return made, made

    start = jnp.where(jnp.arange(width) == 0, 0.0, -jnp.inf).astype(logits.dtype) + jnp.zeros_like(silent[:, 0])
    quiet = jnp.concatenate([jnp.zeros_like(silent[:, :1]), silent[:, :-1]], 1)
    _, rows = jax.lax.scan(row, start, (jnp.moveaxis(quiet, 1, 0), jnp.moveaxis(spoken, 1, 0)))
    number = jnp.arange(batch)
    return -(rows[times - 1, number, counts] + silent[number, times - 1, counts])


@operator(methods=False, public=())
def _transducer(
    logits: Array, targets: Array, times: Array, counts: Array, blank: int, clamp: Static[float], normalize: bool
) -> Any:
    def total(logits: Any) -> Any:
        costs = _transducer_costs(logits, targets, times, counts, blank, normalize)
        return costs.sum(), costs

    gradient, costs = jax.grad(total, has_aux=True)(logits.astype(jnp.float32))
    gradient = jnp.clip(gradient, -clamp, clamp) if clamp > 0 else gradient
    return costs.astype(logits.dtype), gradient.astype(logits.dtype)


def rnnt_loss_forward(
    logits: Tensor,
    targets: Tensor,
    logit_lengths: Tensor,
    target_lengths: Tensor,
    blank: int,
    clamp: float,
    fused_log_softmax: bool,
) -> tuple[Tensor, Tensor]:
    """The transducer's loss of each sequence, `-log p(targets)`, and its gradient by the logits, cut to `clamp` where that is positive.

    `logits` are `(batch, frames, labels + 1, classes)`, `targets` `(batch, labels)` and both lengths `(batch,)` of int32.
    The probability sums over all paths that go a frame on with the blank or a label on with that label (Graves 2012,
    "Sequence Transduction with Recurrent Neural Networks"). Raises RuntimeError for other shapes and dtypes.
    """
    lengths, batch = (logit_lengths, target_lengths), logits.shape[:1]
    _check(
        (logits.dtype in (dtypes.float32, dtypes.float16), "logits must be float32 or float16 (half) type"),
        (targets.dtype is dtypes.int32, "targets must be int32 type"),
        (logit_lengths.dtype is dtypes.int32, "logit_lengths must be int32 type"),
        (target_lengths.dtype is dtypes.int32, "target_lengths must be int32 type"),
        (logits.ndim == 4, "logits must be 4-D (batch, time, target, class)"),
        (targets.ndim == 2, "targets must be 2-D (batch, max target length)"),
        (logit_lengths.ndim == 1, "logit_lengths must be 1-D"),
        (target_lengths.ndim == 1, "target_lengths must be 1-D"),
        (logit_lengths.shape == batch, "batch dimension mismatch between logits and logit_lengths"),
        (target_lengths.shape == batch, "batch dimension mismatch between logits and target_lengths"),
        (targets.shape[:1] == batch, "batch dimension mismatch between logits and targets"),
        (0 <= blank < logits.shape[-1], "blank must be within [0, logits.shape[-1])"),
    )
    times, counts = (host_values(length, "rnnt_loss", "whether the lengths fit depends") for length in lengths)
    _check(
        (times.max(initial=0) == logits.shape[1], "input length mismatch"),
        (counts.max(initial=0) + 1 == logits.shape[2], "output length mismatch"),
        (counts.max(initial=0) == targets.shape[1], "target length mismatch"),
    )
    with no_grad():
        return _transducer(logits, targets, *lengths, blank, clamp, fused_log_softmax)


def forced_align(
    log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, blank: int
) -> tuple[Tensor, Tensor]:
    """The most probable path of labels and blanks that spells `targets`, `(1, frames)`, and the log probabilities themselves.

    `log_probs` are `(1, frames, classes)`, `targets` `(1, labels)`; equal labels in a row need a blank between them (Viterbi's
    search over CTC's states). Raises RuntimeError for other shapes and where there are fewer frames than the targets need.
    """
    _check(
        (targets.dtype in (dtypes.int32, dtypes.int64), "targets must be int32 or int64 type"),
        (log_probs.ndim == 3, "log_probs must be 3-D (batch_size, input length, num classes)"),
        (targets.ndim == 2, "targets must be 2-D (batch_size, target length,)"),
        (input_lengths.ndim == 1, "input_lengths must be 1-D (batch_size,)"),
        (target_lengths.ndim == 1, "target_lengths must be 1-D (batch_size,)"),
        (log_probs.shape[0] == 1, "The batch dimension for log_probs must be 1 at the current version."),
        (targets.shape[0] == 1, "The batch dimension for targets must be 1 at the current version."),
        (0 <= blank < log_probs.shape[-1], "blank must be within [0, num classes)"),
        (int(input_lengths.max()) == log_probs.shape[1], "input length mismatch"),
        (int(target_lengths.max()) == targets.shape[1], "target length mismatch"),
    )
    scores, labels = host_values(log_probs, "forced_align")[0], host_values(targets, "forced_align")[0]
    repeats = int((labels[1:] == labels[:-1]).sum())
    if len(scores) < len(labels) + repeats:
        raise RuntimeError(
            f"targets length is too long for CTC. Found log_probs length: {len(scores)}, targets length: {len(labels)}, "
            f"and number of repeats: {repeats}"
        )
    return like_on_device(_best_path(scores, labels, blank)[None], targets), log_probs


def _best_path(scores: np.ndarray, labels: np.ndarray, blank: int) -> np.ndarray:
    states = np.full(2 * len(labels) + 1, blank, labels.dtype)
    states[1::2] = labels
    leaps = np.zeros(len(states), bool)  # over the blank between two different labels
    leaps[3::2] = labels[1:] != labels[:-1]
    never = np.asarray(-np.inf, scores.dtype)
    best = np.where(np.arange(len(states)) < 2, scores[0, states], never)
    steps = np.zeros((len(scores), len(states)), np.int8)
    for t in range(1, len(scores)):
        one = np.concatenate([[never], best[:-1]])
        two = np.where(leaps, np.concatenate([[never, never], best[:-2]])[: len(states)], never)
        steps[t] = np.where((two > one) & (two > best), 2, np.where(one > best, 1, 0))
        best = np.maximum(np.maximum(best, one), two) + scores[t, states]
    at = len(states) - 1
    if at and not best[at] > best[at - 1]:
        at -= 1
    path = np.empty(len(scores), labels.dtype)
    for t in range(len(scores) - 1, -1, -1):
        path[t] = states[at]
        at -= steps[t, at]
    return path


_OPERATORS: dict[str, tuple[str, Callable[..., Any]]] = {
    "_lfilter_core_loop": (
        "(Tensor input_signal_windows, Tensor a_coeff_flipped, Tensor(a!) padded_output_waveform) -> Tensor(a!)",
        lfilter_core_loop,
    ),
    "_overdrive_core_loop": (
        "(Tensor waveform, Tensor temp, Tensor(a!) last_in, Tensor(b!) last_out, Tensor(c!) output_waveform) -> "
        "(Tensor(a!), Tensor(b!), Tensor(c!))",
        overdrive_core_loop,
    ),
    "rnnt_loss_forward": (
        "(Tensor logits, Tensor targets, Tensor logit_lengths, Tensor target_lengths, int blank, float clamp, "
        "bool fused_log_softmax) -> (Tensor, Tensor)",
        rnnt_loss_forward,
    ),
    "forced_align": (
        "(Tensor log_probs, Tensor targets, Tensor input_lengths, Tensor target_lengths, int blank) -> (Tensor, Tensor)",
        forced_align,
    ),
}
_ABOUT: dict[str, tuple[str, Callable[..., Any]]] = {
    "is_align_available": ("() -> bool", lambda: True),
    "cuda_version": ("() -> int?", lambda: None),
}


def register() -> None:
    """Register all of them, once."""
    supply(torchaudio=_OPERATORS, _torchaudio=_ABOUT)
