"""XLA's options for a program. They come and go with its versions; one that a version does not know makes it refuse the program."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np

# A program of one operator has one or two loops. XLA's newer emitters take half of the compiler's time there; what they give is faster for
# many elements alone (transposes, gathers, softmax and GELU by tanh, two to six times).
QUICKLY = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
_NONE = "no_such_option"


def known(options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that the installed XLA knows."""
    names = _known(tuple(options.items()))
    return {name: value for name, value in options.items() if name in names}


@functools.cache
def _known(options: tuple[tuple[str, Any], ...]) -> tuple[str, ...]:
    """XLA has no list of them, but refuses a program for the first that it does not know, before it compiles anything."""
    lowered = jax.jit(lambda x: x).trace(jax.ShapeDtypeStruct((), np.float32)).lower(lowering_platforms=("cpu",))
    asked = dict(options)
    while asked:
        try:
            lowered.compile(compiler_options=asked | {_NONE: 1})
        except RuntimeError as error:
            refused = next((name for name in asked if f"'{name}'" in str(error)), None)
            if refused is None:
                break
            del asked[refused]
    return tuple(asked)
