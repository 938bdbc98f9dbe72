"""Where a compiled function's program is for: the CPU, unless something that it takes lies elsewhere."""

from __future__ import annotations

from types import SimpleNamespace

import jax.numpy as jnp

import flambeau as fb
from flambeau.compiler.findings import are_on_cpu
from flambeau.core.array.meta import MetaArray


def test_the_arguments_of_a_function_without_state_say_where() -> None:
    def held(value: object) -> object:
        return SimpleNamespace(on_host=False, value=value)

    gpu = SimpleNamespace(devices=lambda: [SimpleNamespace(platform="gpu")])
    here, nowhere = held(jnp.ones(2)), held(MetaArray((2,), jnp.dtype("float32")))
    assert are_on_cpu([here, nowhere, SimpleNamespace(on_host=True)])  # type: ignore[list-item]
    assert not are_on_cpu([here, held(gpu)])  # type: ignore[list-item]
    step = fb.compile(lambda x: x + 1)
    step(fb.ones(3))
    ((program,),) = step.programs.values()
    assert program.plan.on_cpu and program.plan.place is None
