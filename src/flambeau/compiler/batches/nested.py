"""Rules of operations that hold other programs: calls, loops, branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.extend.core import ClosedJaxpr

from .masked import Site, open_in, rule

_INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")


def _both(site: Site, name: str) -> tuple[Any, Any]:
    return site.small.params[name], site.big.params[name]


def _run(site: Site, small: Any, big: Any, values: Sequence[Any]) -> list[Any]:
    if isinstance(big, ClosedJaxpr):
        return site.masked.evaluate(small.jaxpr, big.jaxpr, big.consts, values)
    return site.masked.evaluate(small, big, (), values)


@rule("jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr")
def _call(site: Site, *values: Any) -> Any:
    name = next(name for name in _INNER if name in site.params)
    return _run(site, *_both(site, name), values)


@rule("remat2", "checkpoint", "remat")
def _remat(site: Site, *values: Any) -> Any:
    if site.params.get("differentiated") and site.params.get("prevent_cse") is not False:
        values = tuple(lax.optimization_barrier(list(values)))
    return _run(site, *_both(site, "jaxpr"), values)


@rule("custom_linear_solve")
def _solved(site: Site, *values: Any) -> Any:
    """By what solves it: its derivatives are there already."""
    site.need_same("const_lengths")
    counts = site.params["const_lengths"]
    first, last = counts.matvec + counts.vecmat, sum(counts)
    small, big = (jaxprs.solve for jaxprs in _both(site, "jaxprs"))
    return _run(site, small, big, [*values[first : first + counts.solve], *values[last:]])


def _strong(values: Sequence[Any]) -> list[Any]:
    """Values whose types stay the same ones from step to step."""
    return [lax.convert_element_type(value, jnp.asarray(value).dtype) for value in values]


@rule("scan")
def _scan(site: Site, *values: Any) -> Any:
    site.need_same("num_consts", "num_carry", "reverse")
    p = site.params
    fixed, carried = p["num_consts"], p["num_carry"]
    consts, start, rows = values[:fixed], _strong(values[fixed : fixed + carried]), list(values[fixed + carried :])
    length = site.small.params["length"], p["length"]
    steps = lax.iota(jnp.int64, length[1])

    def step(carry: Any, given: Any) -> Any:
        number, given = given
        with site.masked.inside():
            made = _strong(_run(site, *_both(site, "jaxpr"), [*consts, *carry, *given]))
        after = made[:carried]
        if open_in([length]):  # steps that do not count change nothing
            counts = number < site.size(length)
            after = [jnp.where(counts, new, old) for new, old in zip(after, carry, strict=True)]
        return after, made[carried:]

    end, outs = lax.scan(step, start, (steps, rows), length=length[1], reverse=p["reverse"], unroll=p.get("unroll", 1))
    return [*end, *outs]


@rule("while")
def _while(site: Site, *values: Any) -> Any:
    site.need_same("cond_nconsts", "body_nconsts")
    of_test, of_body = site.params["cond_nconsts"], site.params["body_nconsts"]
    test, body, start = values[:of_test], values[of_test : of_test + of_body], _strong(values[of_test + of_body :])

    def goes_on(carry: Any) -> Any:
        with site.masked.inside():
            return _run(site, *_both(site, "cond_jaxpr"), [*test, *carry])[0]

    def step(carry: Any) -> list[Any]:
        with site.masked.inside():
            return _strong(_run(site, *_both(site, "body_jaxpr"), [*body, *carry]))

    return lax.while_loop(goes_on, step, start)


@rule("cond")
def _cond(site: Site, which: Any, *values: Any) -> Any:
    branches = [
        lambda *given, one=one, other=other: _strong(_run(site, one, other, given))
        for one, other in zip(site.small.params["branches"], site.big.params["branches"], strict=True)
    ]
    return lax.switch(which, branches, *values)
