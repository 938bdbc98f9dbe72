"""The connectionist temporal classification loss."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...core.dispatch.operator import Array, composite, operator
from ...core.tensor.tensor import Tensor, wrap
from ..support.checks import FLOAT, category, demand, on_host, type_name
from ..support.losses import REDUCTIONS, chosen_reduction

_CHECKING = " (while checking arguments for ctc_loss_allocate_outputs)"


# ---------------------------------------------------------------- alignments


def _states(targets: jax.Array, target_lengths: jax.Array, blank: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The labels with a blank before, between and after them, `(N, 2 S + 1)`; which of these states may be entered from two
    states before; and which exist."""
    samples, longest = targets.shape
    states = jnp.full((samples, 2 * longest + 1), blank, jnp.int64).at[:, 1::2].set(targets)
    two_before = jnp.concatenate([jnp.full((samples, 2), blank, jnp.int64), states], 1)[:, : states.shape[1]]
    skips = (states != two_before) & (jnp.arange(states.shape[1]) % 2 == 1)
    skips = skips.at[:, :2].set(False)
    there = jnp.arange(states.shape[1]) <= 2 * target_lengths[:, None]
    return states, skips, there


def _log_sum(*terms: jax.Array) -> jax.Array:
    """log of the sum of exponentials; -inf where all are."""
    top = jnp.stack(terms).max(0)
    safe = jnp.where(jnp.isneginf(top), 0, top)
    return safe + jnp.log(sum(jnp.exp(term - safe) for term in terms))


def _moved(values: jax.Array, by: int) -> jax.Array:
    """The states' values, each at the place `by` further on (backwards if negative); -inf comes in."""
    pad = jnp.full((values.shape[0], abs(by)), -jnp.inf, values.dtype)
    size = values.shape[1]
    return jnp.concatenate([pad, values], 1)[:, :size] if by > 0 else jnp.concatenate([values, pad], 1)[:, -size:]


def _forward_steps(
    emitted: jax.Array, skips: jax.Array, there: jax.Array, input_lengths: jax.Array, keep: bool
) -> tuple[jax.Array, jax.Array | None]:
    """log alpha at each sample's last step, and at all steps if `keep` (Graves et al., 2006, section 4.1)."""
    steps, _, states = emitted.shape
    begins = jnp.where(there & (jnp.arange(states) < 2), emitted[0], -jnp.inf)
    begins = jnp.where((input_lengths > 0)[:, None], begins, jnp.where(jnp.arange(states) == 0, 0, -jnp.inf))

    def step(alpha: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array | None]:
        t, out = now
        reached = _log_sum(alpha, _moved(alpha, 1), jnp.where(skips, _moved(alpha, 2), -jnp.inf)) + out
        alpha = jnp.where((t < input_lengths)[:, None], jnp.where(there, reached, -jnp.inf), alpha)
        return alpha, alpha if keep else None

    last, rest = lax.scan(step, begins, (jnp.arange(1, steps), emitted[1:]))
    return last, None if rest is None else jnp.concatenate([begins[None], rest])


def _ends(target_lengths: jax.Array, states: int) -> jax.Array:
    """The states in which an alignment may end: the last label and the blank after it."""
    behind = 2 * target_lengths[:, None] - jnp.arange(states)
    return (behind == 0) | (behind == 1)


def _losses(
    log_probs: jax.Array, targets: jax.Array, input_lengths: jax.Array, target_lengths: jax.Array, blank: int
) -> jax.Array:
    states, skips, there = _states(targets, target_lengths, blank)
    emitted = _emitted(log_probs, states)
    alpha, _ = _forward_steps(emitted, skips, there, input_lengths, False)
    return _at_ends(alpha, target_lengths)


def _emitted(log_probs: jax.Array, states: jax.Array) -> jax.Array:
    return jnp.take_along_axis(log_probs, states[None], 2, mode="clip")


def _at_ends(alpha: jax.Array, target_lengths: jax.Array) -> jax.Array:
    blank = 2 * target_lengths[:, None]
    at_blank, at_label = (jnp.take_along_axis(alpha, jnp.maximum(place, 0), 1)[:, 0] for place in (blank, blank - 1))
    return -_log_sum(at_blank, jnp.where(target_lengths > 0, at_label, -jnp.inf))


@jax.custom_jvp
def _slopes(
    log_probs: jax.Array, targets: jax.Array, input_lengths: jax.Array, target_lengths: jax.Array, blank: jax.Array,
    impossible: jax.Array,
) -> jax.Array:  # fmt: skip
    """The losses' gradients by `log_probs`, as by logits before a log-softmax (Graves et al., 2006, equation 16), which is
    what PyTorch gives. Where there is no alignment they are `impossible`."""
    steps, samples, classes = log_probs.shape
    states, skips, there = _states(targets, target_lengths, blank)  # type: ignore[arg-type]
    emitted = _emitted(log_probs, states)
    last, alphas = _forward_steps(emitted, skips, there, input_lengths, True)
    loss = _at_ends(last, target_lengths)
    ends = _ends(target_lengths, states.shape[1])
    leaps = jnp.concatenate([skips[:, 2:], jnp.zeros((samples, 2), bool)], 1)[:, : states.shape[1]]

    def step(after: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        """log beta without what is emitted at its own step, from that of the next step with it."""
        t, out = now
        beta = _log_sum(after, _moved(after, -1), jnp.where(leaps, _moved(after, -2), -jnp.inf))
        beta = jnp.where((t == input_lengths - 1)[:, None], jnp.where(ends, 0, -jnp.inf), beta)
        beta = jnp.where(there & (t < input_lengths)[:, None], beta, -jnp.inf)
        return beta + out, beta

    nowhere = jnp.full((samples, states.shape[1]), -jnp.inf, log_probs.dtype)
    _, betas = lax.scan(step, nowhere, (jnp.arange(steps), emitted), reverse=True)
    weights = jnp.exp(alphas + betas + jnp.where(jnp.isinf(loss), 0, loss)[:, None])  # type: ignore[operator]
    rows = jnp.arange(samples)[:, None]
    visits = jnp.zeros((samples, classes, steps), log_probs.dtype).at[rows, states].add(jnp.moveaxis(weights, 0, 2))
    slopes = jnp.exp(log_probs) - jnp.moveaxis(visits, 2, 0)
    slopes = jnp.where(jnp.isinf(loss)[:, None], impossible, slopes)
    return jnp.where((jnp.arange(steps)[:, None] < input_lengths)[..., None], slopes, 0)


@_slopes.defjvp
def _(primals: tuple, tangents: tuple) -> tuple:
    raise RuntimeError(
        "derivative for aten::_ctc_loss_backward is not implemented: ctc_loss can be differentiated once only"
    )


@jax.custom_jvp
def _alignment_losses(
    log_probs: jax.Array, targets: jax.Array, input_lengths: jax.Array, target_lengths: jax.Array, blank: jax.Array,
    impossible: jax.Array,
) -> jax.Array:  # fmt: skip
    return _losses(log_probs, targets, input_lengths, target_lengths, blank)  # type: ignore[arg-type]


@_alignment_losses.defjvp
def _(primals: tuple, tangents: tuple) -> tuple:
    return _alignment_losses(*primals), jnp.einsum("tnc,tnc->n", _slopes(*primals), tangents[0])


# ---------------------------------------------------------------- the operator


def _name(arrays: list[Any], statics: dict[str, Any]) -> str:
    if statics["reduction"] != "none":
        return "MeanBackward0" if statics["reduction"] == "mean" else "SumBackward0"
    if arrays[0].ndim == 2:
        return "SqueezeBackward1"
    return "WhereBackward0" if statics["zero_infinity"] else "CtcLossBackward0"


@operator(methods=False, public=(), grad=_name)
def _ctc_loss(
    log_probs: Array, targets: Array, input_lengths: Array, target_lengths: Array, blank: int, reduction: str,
    zero_infinity: bool,
) -> Array:  # fmt: skip
    batched = log_probs if log_probs.ndim == 3 else log_probs[:, None]
    input_lengths, target_lengths = (n.astype(jnp.int64).ravel() for n in (input_lengths, target_lengths))
    targets = targets.astype(jnp.int64)
    if targets.ndim == 1:  # one sample's after the other's
        begins = jnp.cumsum(target_lengths) - target_lengths
        places = begins[:, None] + jnp.arange(targets.shape[0])
        targets = jnp.take(targets, places, mode="clip") if targets.size else jnp.zeros(places.shape, jnp.int64)
    impossible = jnp.asarray(0.0 if zero_infinity else jnp.nan, batched.dtype)
    losses = _alignment_losses(
        batched, targets, input_lengths, target_lengths, jnp.asarray(blank, jnp.int64), impossible
    )
    if zero_infinity:
        losses = jnp.where(jnp.isposinf(losses), 0, losses)
    if reduction == "mean":
        return jnp.mean(losses / jnp.maximum(target_lengths, 1).astype(losses.dtype))
    if reduction == "sum":
        return jnp.sum(losses)
    return losses if log_probs.ndim == 3 else losses[0]


# ---------------------------------------------------------------- arguments


def _require_lengths(input_lengths: Any, target_lengths: Any) -> tuple[Tensor, Tensor]:
    """Both as tensors of integers; both are to be tensors, or both sequences of numbers."""
    both = (input_lengths, target_lengths)
    tensors = [isinstance(given, Tensor) for given in both]
    if all(tensors):
        for name, given in (("input_lengths", input_lengths), ("target_lengths", target_lengths)):
            if given._np_dtype.kind not in "iub":
                raise RuntimeError(f"{name} must be integral (got {given.dtype})")
        return input_lengths, target_lengths
    values = [
        [int(n) for n in given] if isinstance(given, (list, tuple)) and all(_is_whole(n) for n in given) else None
        for given in both
    ]
    if any(tensors) or None in values:
        names = ", ".join(type(given).__name__ for given in both)
        raise TypeError(
            f"ctc_loss() received an invalid combination of arguments - got ({names}) as input_lengths and "
            "target_lengths, but expected both to be tensors, or both tuples of ints"
        )
    first, second = (wrap(jnp.asarray(np.asarray(given, np.int64))) for given in values)
    return first, second


def _is_whole(number: Any) -> bool:
    if isinstance(number, Tensor):
        return number.numel() == 1 and number._np_dtype.kind in "iu"
    return isinstance(number, (int, np.integer))


def _check_lengths(name: str, lengths: Tensor, samples: int, most: int | None) -> None:
    if lengths.numel() != samples:
        raise RuntimeError(f"{name} must be of size batch_size: there are {lengths.numel()} for a batch of {samples}")

    def low(value: int) -> Exception:
        return RuntimeError(f"Expected {name} to have value at least 0, but got value {value}{_CHECKING}")

    def high(value: int) -> Exception:
        return RuntimeError(f"Expected {name} to have value at most {most}, but got value {value}{_CHECKING}")

    demand(lambda n: (n < 0, n), low, lengths)
    if most is not None:
        demand(lambda n: (n > most, n), high, lengths)


def _check_targets(targets: Tensor, target_lengths: Tensor, samples: int) -> None:
    """Raises RuntimeError where there are not as many labels as the lengths say."""
    if targets.ndim not in (1, 2):
        raise RuntimeError(
            f"Expected 1 to 2 dimensions, but got {targets.ndim}-dimensional tensor for argument #2 'targets'{_CHECKING}"
        )
    size = targets.shape[-1]

    def wrong(wanted: str, dim: int, got: int) -> Exception:
        return RuntimeError(
            f"Expected tensor to have size {wanted} at dimension {dim}, but got size {got} for argument #2 'targets'"
            + _CHECKING
        )

    if targets.ndim == 1:
        demand(lambda n: (n.sum() != size, n.sum()), lambda total: wrong(str(total), 0, size), target_lengths)
        return
    if targets.shape[0] != samples:
        raise wrong(str(samples), 0, targets.shape[0])
    demand(lambda n: (n > size, n.max() if n.size else 0), lambda n: wrong(f"at least {n}", 1, size), target_lengths)


def _check_labels(targets: Tensor, target_lengths: Tensor, classes: int) -> None:
    """Labels within the lengths must be classes: what PyTorch would read for others is not theirs."""

    def look(labels: Any, lengths: Any) -> tuple[Any, Any]:
        bad = (labels < 0) | (labels >= classes)
        if labels.ndim == 2:
            bad = bad & (np.arange(labels.shape[1]) < lengths.reshape(-1, 1))
        return bad, labels

    demand(
        look,
        lambda label: RuntimeError(f"ctc_loss: label {label} is out of range: there are {classes} classes"),
        targets,
        target_lengths,
    )


def _padded(targets: Tensor, target_lengths: Tensor) -> Tensor:
    """Labels that are at hand one after the other, as rows: fewer programs than one for each number of labels."""
    labels, lengths = on_host(targets), on_host(target_lengths)
    if labels is None or lengths is None:
        return targets
    longest = int(lengths.max(initial=0))
    rows = np.zeros((lengths.size, 1 << max(longest - 1, 3).bit_length()), np.int64)
    rows[np.arange(rows.shape[1]) < lengths.reshape(-1, 1)] = labels
    return wrap(jnp.asarray(rows))


@composite(methods=False, public=("nn.functional",), autocast={"cpu": "float32"})
def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """-log of the probability of all alignments of the labels with the steps (Graves et al., 2006).

    `log_probs` are `(T, N, C)` or `(T, C)`, `targets` `(N, S)`, or all labels one after the other. Labels may stand for
    several steps, with blanks between. The mean is of losses divided by the number of labels. `zero_infinity` makes losses
    of samples without an alignment (too few steps) 0, and their gradients. Second derivatives are refused (RuntimeError).
    """
    reduction = chosen_reduction(None, None, reduction)
    input_lengths, target_lengths = _require_lengths(input_lengths, target_lengths)
    if log_probs.ndim not in (2, 3):
        raise RuntimeError(
            f"Expected 3-dimensional tensor, but got {log_probs.ndim}-dimensional tensor for argument #1 'log_probs'"
            + _CHECKING
        )
    if not log_probs.numel():
        raise RuntimeError(f"log_probs tensor must not be empty (got shape {list(log_probs.shape)})")
    array = log_probs._array
    if category(array) != FLOAT or array.dtype.itemsize < 4:
        raise NotImplementedError(
            f"\"ctc_loss_cpu\" not implemented for '{type_name(array)}' (give float32 or float64 log-probabilities)"
        )
    steps, classes = log_probs.shape[0], log_probs.shape[-1]
    samples = log_probs.shape[1] if log_probs.ndim == 3 else 1
    if not 0 <= blank < classes:
        raise RuntimeError(f"blank must be in label range: it is {blank}, and there are {classes} classes")
    _check_lengths("input_lengths", input_lengths, samples, steps)
    _check_lengths("target_lengths", target_lengths, samples, None)
    _check_targets(targets, target_lengths, samples)
    _check_labels(targets, target_lengths, classes)
    if targets.ndim == 1:
        targets = _padded(targets, target_lengths)
    return _ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, reduction, bool(zero_infinity))


@composite(methods=False, name="ctc_loss", autocast={"cpu": "float32"})
def _torch_ctc_loss(
    log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: int = 0,
    zero_infinity: bool = False,
) -> Any:  # fmt: skip
    """`nn.functional.ctc_loss`; the reduction is 0 (none), 1 (mean) or 2 (sum)."""
    return ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, REDUCTIONS[reduction], zero_infinity)
