"""Where in the forward code a gradient came from that is NaN, or whose computation failed.

https://docs.pytorch.org/docs/stable/autograd.html#anomaly-detection
"""

from __future__ import annotations

import traceback
import warnings
from typing import Any

import jax
import numpy as np

from ..core.context.grad_mode import state
from ..core.tape.nodes import Node, is_differentiable


def _remember(node: Node, outputs: Any) -> None:
    """Keep with a new node where it was recorded."""
    node.metadata_ = {"traceback_": traceback.format_stack()[:-3]}  # type: ignore[attr-defined]


def _blame(node: Node) -> None:
    lines = getattr(node, "metadata_", {}).get("traceback_")
    if lines is None:
        text = f"Error detected in {node.name()}. No forward pass information available: enable detection in it too."
    else:
        text = f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n{''.join(lines)}"
    warnings.warn(text, UserWarning, stacklevel=4)


def _has_nan(value: Any) -> bool:
    if isinstance(value, jax.core.Tracer) or not is_differentiable(value.dtype):
        return False
    return bool(np.isnan(np.asarray(value)).any())


class _Detector:
    """What the engine calls to run a node while detection is on."""

    def __init__(self, check_nan: bool):
        self.check_nan = check_nan

    def __call__(self, node: Node, slots: list[Any], taped: bool) -> list[Any]:
        try:
            if taped:
                results = list(node.backward_taped(slots))
            else:
                found = node.backward([None if s is None else s[0] for s in slots])
                results = [None if r is None else (r, None) for r in found]
        except Exception:
            _blame(node)
            raise
        if self.check_nan:
            for i, result in enumerate(results):
                if result is not None and _has_nan(result[0]):
                    _blame(node)
                    raise RuntimeError(f"Function '{node.name()}' returned nan values in its {i}th output.")
        return results


class set_detect_anomaly:
    """Switches the detection on or off, at once and until the `with` block (if it is used as one) ends.

    While it is on, each node of the tape remembers where it was recorded, and `backward()` raises RuntimeError at the
    first gradient that holds a NaN (unless `check_nan=False`). A warning shows the place in the forward code.
    """

    def __init__(self, mode: bool, check_nan: bool = True):
        if type(mode) is not bool:
            kind = type(mode).__name__
            raise TypeError(f"set_anomaly_enabled(): argument 'enabled' (position 1) must be bool, not {kind}")
        self._before = (state.anomaly, state.watchers)
        watchers = tuple(w for w in state.watchers if w is not _remember)
        state.anomaly = _Detector(check_nan) if mode else None
        state.watchers = (*watchers, _remember) if mode else watchers

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        state.anomaly, state.watchers = self._before


class detect_anomaly:
    """The same for a `with` block, with a warning that everything gets slower."""

    def __init__(self, check_nan: bool = True):
        self.check_nan = check_nan
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for "
            "debugging.",
            UserWarning,
            stacklevel=2,
        )

    def __enter__(self) -> None:
        self._mode = set_detect_anomaly(True, self.check_nan)

    def __exit__(self, *exc: object) -> None:
        self._mode.__exit__()


def set_anomaly_enabled(enabled: bool, check_nan: bool = True) -> None:
    """Switch the detection on or off, silently."""
    set_detect_anomaly(enabled, check_nan)


def is_anomaly_enabled() -> bool:
    """Whether the detection is on."""
    return state.anomaly is not None


def is_anomaly_check_nan_enabled() -> bool:
    """Whether NaNs are looked for when the detection is on."""
    return state.anomaly is None or state.anomaly.check_nan


__all__ = ["detect_anomaly", "set_detect_anomaly"]
