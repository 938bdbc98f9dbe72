"""The peers of `flambeau.compile`, side by side: torch, raw JAX, Equinox, Flax NNX.

    pip install flax equinox optax
    python benchmarks/peers.py

Each candidate lives in a process of its own, with its library's own settings. All start from the same weights, and their
first losses must agree. The processes take turns, a block of steps each, with one look at the loss at the block's end
(inference waits for each result). Prints a Markdown table. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from measure import serve, turns

# Libraries are imported by the candidates that need them: flambeau changes settings of JAX, which would reach its peers.

MLP, DEEP, INFERENCE = "MLP step", "32-layer step", "MLP inference"
STEPS = {MLP: 200, DEEP: 20, INFERENCE: 500}  # in a block


def beginning(job: str) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Weights in the order of torch's parameters, a batch and its labels: the same in every process."""
    rng = np.random.default_rng(0)

    def linear(inside: int, out: int) -> list[np.ndarray]:
        return [rng.uniform(-1, 1, shape).astype(np.float32) / inside**0.5 for shape in ((out, inside), (out,))]

    if job == DEEP:
        norm = [np.ones(128, np.float32), np.zeros(128, np.float32)]
        weights, shape = [w for _ in range(32) for w in linear(128, 128) + norm] + linear(128, 10), (64, 128)
    else:
        weights, shape = linear(20, 256) + linear(256, 10), (32, 20)
    return weights, rng.standard_normal(shape, np.float32), rng.integers(0, 10, shape[0])


# --- flambeau and torch ----------------------------------------------------------------------------------------------


def imperative(lib: Any, job: str, compiler: Callable[[Any], Any] = lambda it: it, **options: Any) -> Callable[[], Any]:
    """A step as torch's users write it, in flambeau or torch."""
    nn, (weights, *batch) = lib.nn, beginning(job)
    if job == DEEP:
        layers = [part for _ in range(32) for part in (nn.Linear(128, 128), nn.LayerNorm(128), nn.GELU())]
        model = nn.Sequential(*layers, nn.Linear(128, 10))
        optimizer = lib.optim.AdamW(model.parameters(), lr=1e-3, **options)
    else:
        model = nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10))
        optimizer = lib.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, **options)
    for parameter, weight in zip(model.parameters(), weights, strict=True):
        parameter.data.copy_(lib.from_numpy(weight))
    x, y = (lib.from_numpy(part) for part in batch)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    if job == INFERENCE:
        lib.set_grad_enabled(False)
        return functools.partial(compiler(model), x)
    return functools.partial(compiler(step), x, y)


def flambeau_eager(job: str) -> Callable[[], Any]:
    import flambeau

    return waiting(imperative(flambeau, job), job)


def flambeau_compiled(job: str) -> Callable[[], Any]:
    import flambeau

    return waiting(imperative(flambeau, job, flambeau.compile), job)


def torch_eager(job: str) -> Callable[[], Any]:
    import torch

    return imperative(torch, job)


def torch_fused(job: str) -> Callable[[], Any]:
    import torch

    return imperative(torch, job, fused=True)


def torch_compile(job: str) -> Callable[[], Any]:
    import torch

    if not shutil.which(os.environ.get("CXX", "g++")):
        raise ModuleNotFoundError("torch.compile needs a C++ compiler")
    return imperative(torch, job, torch.compile)


# --- JAX and what is built on it -------------------------------------------------------------------------------------


def waiting(call: Callable[[], Any], job: str) -> Callable[[], Any]:
    """Inference waits for each result."""

    def wait() -> Any:
        result = call()
        getattr(result, "_array", result).block_until_ready()
        return result

    return wait if job == INFERENCE else call


def arrays(job: str) -> tuple[list[Any], Any, Any]:
    import jax.numpy as jnp

    weights, x, y = beginning(job)
    return [jnp.asarray(w) for w in weights], jnp.asarray(x), jnp.asarray(y, jnp.int32)


def cross_entropy(logits: Any, labels: Any) -> Any:
    import jax

    return -jax.numpy.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()


def raw_forward(p: list[Any], x: Any) -> Any:
    import jax

    if len(p) == 4:
        return jax.nn.relu(x @ p[0].T + p[1]) @ p[2].T + p[3]
    for i in range(0, len(p) - 2, 4):
        x = x @ p[i].T + p[i + 1]
        x = (x - x.mean(-1, keepdims=True)) * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)
        x = jax.nn.gelu(x * p[i + 2] + p[i + 3], approximate=False)
    return x @ p[-2].T + p[-1]


def raw_sgd(params: list[Any], grads: list[Any], state: Any) -> tuple[list[Any], Any]:
    state = [0.9 * s + g for s, g in zip(state, grads, strict=True)]
    return [p - 0.01 * s for p, s in zip(params, state, strict=True)], state


def raw_adamw(params: list[Any], grads: list[Any], state: Any) -> tuple[list[Any], Any]:
    count, means, squares = state[0] + 1, state[1], state[2]
    means = [0.9 * m + 0.1 * g for m, g in zip(means, grads, strict=True)]
    squares = [0.999 * s + 0.001 * g * g for s, g in zip(squares, grads, strict=True)]
    rate, root = 1e-3 / (1 - 0.9**count), (1 - 0.999**count) ** 0.5
    every = zip(params, means, squares, strict=True)
    return [p * (1 - 1e-5) - rate * m / (s**0.5 / root + 1e-8) for p, m, s in every], (count, means, squares)


def raw_jax(job: str, synchronous: bool = False) -> Callable[[], Any]:
    import jax

    if synchronous:
        jax.config.update("jax_cpu_enable_async_dispatch", False)
    params, x, y = arrays(job)
    if job == INFERENCE:
        return waiting(functools.partial(jax.jit(raw_forward), params, x), job)
    zeros = functools.partial(jax.tree.map, jax.numpy.zeros_like, params)
    update, state = (raw_adamw, (jax.numpy.float32(0), zeros(), zeros())) if job == DEEP else (raw_sgd, zeros())

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Any, state: Any, x: Any, y: Any) -> Any:
        loss, grads = jax.value_and_grad(lambda p: cross_entropy(raw_forward(p, x), y))(params)
        return *update(params, grads, state), loss

    def run() -> Any:
        nonlocal params, state
        params, state, loss = step(params, state, x, y)
        return loss

    return run


def optax_of(job: str) -> Any:
    import optax

    return optax.adamw(1e-3, weight_decay=0.01) if job == DEEP else optax.sgd(0.01, momentum=0.9)


def equinox(job: str) -> Callable[[], Any]:
    import equinox as eqx
    import jax

    nn, key, (weights, x, y) = eqx.nn, jax.random.key(0), arrays(job)
    if job == DEEP:
        gelu = nn.Lambda(functools.partial(jax.nn.gelu, approximate=False))
        layers = [part for _ in range(32) for part in (nn.Linear(128, 128, key=key), nn.LayerNorm(128), gelu)]
        model = nn.Sequential([*layers, nn.Linear(128, 10, key=key)])
    else:
        model = nn.Sequential([nn.Linear(20, 256, key=key), nn.Lambda(jax.nn.relu), nn.Linear(256, 10, key=key)])
    params, rest = eqx.partition(model, eqx.is_array)
    model = eqx.combine(jax.tree.unflatten(jax.tree.structure(params), weights), rest)
    optimizer = optax_of(job)
    state = optimizer.init(eqx.filter(model, eqx.is_array))

    @eqx.filter_jit(donate="all-except-first")
    def step(batch: Any, model: Any, state: Any) -> Any:
        x, y = batch
        loss, grads = eqx.filter_value_and_grad(lambda m: cross_entropy(jax.vmap(m)(x), y))(model)
        updates, state = optimizer.update(grads, state, eqx.filter(model, eqx.is_array))
        return eqx.apply_updates(model, updates), state, loss

    def run() -> Any:
        nonlocal model, state
        model, state, loss = step((x, y), model, state)
        return loss

    return run


def flax_nnx(job: str, cached: bool = False) -> Callable[[], Any]:
    import jax
    from flax import nnx

    rngs, (weights, x, y) = nnx.Rngs(0), arrays(job)
    if job == DEEP:
        gelu = functools.partial(jax.nn.gelu, approximate=False)
        norm = functools.partial(nnx.LayerNorm, 128, epsilon=1e-5, rngs=rngs)
        layers = [part for _ in range(32) for part in (nnx.Linear(128, 128, rngs=rngs), norm(), gelu)]
        model = nnx.Sequential(*layers, nnx.Linear(128, 10, rngs=rngs))
    else:
        model = nnx.Sequential(nnx.Linear(20, 256, rngs=rngs), jax.nn.relu, nnx.Linear(256, 10, rngs=rngs))
    given = iter(weights)
    for layer in model.layers:
        if isinstance(layer, nnx.Linear):
            layer.kernel[...], layer.bias[...] = next(given).T, next(given)
        elif isinstance(layer, nnx.LayerNorm):
            layer.scale[...], layer.bias[...] = next(given), next(given)
    optimizer = nnx.Optimizer(model, optax_of(job), wrt=nnx.Param)

    @nnx.jit
    def step(model: Any, optimizer: Any, x: Any, y: Any) -> Any:
        loss, grads = nnx.value_and_grad(lambda m: cross_entropy(m(x), y))(model)
        optimizer.update(model, grads)
        return loss

    if cached:
        return functools.partial(nnx.cached_partial(step, model, optimizer), x, y)
    return functools.partial(step, model, optimizer, x, y)


# --- the processes ---------------------------------------------------------------------------------------------------

CANDIDATES: dict[str, Callable[[str], Callable[[], Any]]] = {
    "flambeau compiled": flambeau_compiled,
    "flambeau eager": flambeau_eager,
    "torch eager": torch_eager,
    "torch, fused optimizer": torch_fused,
    "torch.compile": torch_compile,
    "raw JAX": raw_jax,
    "raw JAX, no asynchronous dispatch": functools.partial(raw_jax, synchronous=True),
    "Equinox, filter_jit": equinox,
    "Flax NNX, nnx.jit": flax_nnx,
    "Flax NNX, nnx.cached_partial": functools.partial(flax_nnx, cached=True),
}
INFERRING = [name for name in CANDIDATES if name.startswith(("flambeau", "torch eager", "raw JAX"))]


def look(result: Any) -> float:
    """A number that is the same whoever computed it: a loss, or an output's sum."""
    return float(result.sum())


def work(name: str, job: str) -> None:
    """A candidate's process: prints its first results, then a step's seconds for each line that it reads."""
    try:
        step = CANDIDATES[name](job)
    except ModuleNotFoundError:
        print("null", flush=True)
        return
    print(json.dumps([look(step()) for _ in range(5)]), flush=True)
    serve(step, look, STEPS[job])


def measure(job: str, names: list[str], rounds: int) -> dict[str, float]:
    """Median seconds a step of each candidate that is installed."""
    processes, results = {}, {}
    for name in names:
        command = [sys.executable, __file__, "--work", name, job]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        first = json.loads(process.stdout.readline())
        if first is not None:
            processes[name], results[name] = process, first
    for name, result in results.items():
        expected = results["flambeau compiled"]
        assert np.allclose(result, expected, rtol=1e-3), f"{job}: {name} computes {result}, flambeau {expected}"
    return turns(processes, rounds)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--work", nargs=2, metavar=("CANDIDATE", "JOB"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work(*options.work)
    asked = {job: INFERRING if job == INFERENCE else list(CANDIDATES) for job in STEPS}
    found = {job: measure(job, names, options.rounds) for job, names in asked.items()}
    print("| ms (times flambeau compiled) | " + " | ".join(STEPS) + " |\n|---" + "|---" * len(STEPS) + "|")
    for name in CANDIDATES:
        cells = []
        for job, figures in found.items():
            if name in figures:
                cells.append(f"{figures[name] * 1e3:.3f} ({figures[name] / figures['flambeau compiled']:.2f})")
            else:
                cells.append("not installed" if name in asked[job] else "")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
