"""The rule of the kernels for recurrent layers (`native/recurrent.py`), whose number of steps may be open as well as their batch."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ...native.kernel import rows_of
from .masked import Site, rule


@rule("flambeau_recurrent", "flambeau_recurrent_changes", "flambeau_recurrent_backward")
def _steps(site: Site, *values: Any) -> Any:
    """Steps that do not count come after the others, in the direction in which the layer goes, and so have no influence on them.

    A layer that goes backwards gets them before the others, therefore. Gradients go the other way: they begin with the steps that
    do not count, of which they are zeros.
    """
    site.need_same()
    name, params = site.big.primitive.name, site.params
    timed = [i for i, value in enumerate(values) if value.ndim == 3 or value.dtype == np.bool_]  # a mask is `(T, B)`
    known, shapes = rows_of(name), [np.shape(value) for value in values]
    assert known is not None
    left = [site.open(i) - ({0} if i in timed else set()) for i in range(len(values))]
    site.need(known.rows(left, *shapes, **params), "the size of its state depends on the size")
    pair = site.given[timed[0]][0]
    site.need(all(site.given[i][0] == pair for i in timed), "")
    if pair[0] == pair[1]:
        return site.bind(*values)
    given = list(values)
    for i in timed:
        if name == "flambeau_recurrent_backward":
            given[i] = site.filled(i, given[i], [0], 0)
        if params["reverse"]:
            given[i] = _turned(given[i], site.size(pair))
    made = site.bind(*given)
    if params["reverse"]:
        made = [_turned(one, -site.size(pair)) if one.ndim == 3 else one for one in made]
    return made


def _turned(value: Any, by: Any) -> Any:
    """An array whose first element along the first dimension is another one; what was before it comes last."""
    size = np.int64(value.shape[0])
    return jnp.take(value, (lax.iota(np.dtype(np.int64), value.shape[0]) + by) % size, axis=0, mode="clip")
