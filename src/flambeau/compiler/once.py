"""A traced function that calls back, in two programs: what its forward pass has called for is not called for again backwards."""

from __future__ import annotations

from typing import Any, NamedTuple

from jax._src.core import DropVar, Literal


class Halves(NamedTuple):
    """The jaxpr without what depends on cotangents, which also gives what it has called for, and the jaxpr that takes that."""

    forward: Any
    backward: Any
    saved: int  # how many arrays go from one to the other, after all that they give and take


def halves(closed: Any, seeds: list[Any], plain: int) -> Halves:
    """The two, of a traced function whose outputs from number `plain` on are gradients for the cotangents `seeds`."""
    jaxpr, ids = closed.jaxpr, {id(seed) for seed in seeds}
    late = {var for var, constant in zip(jaxpr.constvars, closed.consts, strict=True) if id(constant) in ids}
    early, both = [], []
    saved: list[Any] = []
    for equation in jaxpr.eqns:
        if any(not isinstance(atom, Literal) and atom in late for atom in equation.invars):
            late.update(equation.outvars)
            both.append(equation)
            continue
        early.append(equation)
        if equation.effects:
            saved += [var for var in equation.outvars if not isinstance(var, DropVar)]
        else:
            both.append(equation)
    forward = jaxpr.replace(eqns=early, outvars=[*jaxpr.outvars[:plain], *saved])
    backward = jaxpr.replace(eqns=both, invars=[*jaxpr.invars, *saved])
    return Halves(closed.replace(jaxpr=forward), closed.replace(jaxpr=backward), len(saved))
