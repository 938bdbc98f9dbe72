"""The peers of `flambeau.compile`, side by side: torch, raw JAX, Equinox, Flax NNX.

    pip install '.[test,bench]'
    python benchmarks/peers.py

Each candidate lives in a process of its own, with its library's own settings. All start from the same weights, and their
first results must agree. The processes take turns, a block of steps each, with one look at the loss at the block's end
(inference waits for each result). Prints a Markdown table. Run it on a quiet machine.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from functools import partial

import numpy as np
from measure import serve, turns

# Each process imports its own library only: flambeau changes settings of JAX, which would reach the others.

MLP, DEEP, INFERENCE = "MLP step", "32-layer step", "MLP inference"
STEPS = {MLP: 200, DEEP: 20, INFERENCE: 500}  # in a block


def layers(job, linear, norm, gelu, relu):
    if job == DEEP:
        return [part for _ in range(32) for part in (linear(128, 128), norm(128), gelu)] + [linear(128, 10)]
    return [linear(20, 256), relu, linear(256, 10)]


def beginning(job):
    """Weights in the order of torch's parameters, a batch and its labels: the same in every process."""
    rng = np.random.default_rng(0)

    def linear(inside, out):
        return [rng.uniform(-1, 1, shape).astype(np.float32) / inside**0.5 for shape in ((out, inside), (out,))]

    def norm(size):
        return [np.ones(size, np.float32), np.zeros(size, np.float32)]

    x = rng.standard_normal((64, 128) if job == DEEP else (32, 20), np.float32)
    weights = [weight for part in layers(job, linear, norm, [], []) for weight in part]
    return weights, x, rng.integers(0, 10, len(x))


# --- flambeau and torch: each candidate returns a function that takes a step, or a call, and returns its result ------


def imperative(job, library, whole=False, forward=False, fused=False):
    """`whole` compiles the step, or the model for inference; `forward` compiles the loss only."""
    lib = importlib.import_module(library)
    nn, (weights, *batch) = lib.nn, beginning(job)
    model = nn.Sequential(*layers(job, nn.Linear, nn.LayerNorm, nn.GELU(), nn.ReLU()))
    for parameter, weight in zip(model.parameters(), weights, strict=True):
        parameter.data.copy_(lib.from_numpy(weight))
    x, y = map(lib.from_numpy, batch)
    if job == INFERENCE:
        lib.set_grad_enabled(False)
        return partial(lib.compile(model) if whole else model, x)
    options = {"fused": True} if fused else {}
    if job == DEEP:
        optimizer = lib.optim.AdamW(model.parameters(), lr=1e-3, **options)
    else:
        optimizer = lib.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, **options)

    def loss_of(x, y):
        return nn.functional.cross_entropy(model(x), y)

    compute = lib.compile(loss_of) if forward else loss_of

    def step(x, y):
        optimizer.zero_grad()
        loss = compute(x, y)
        loss.backward()
        optimizer.step()
        return loss

    return partial(lib.compile(step) if whole else step, x, y)


def flambeau(job, **options):
    call = imperative(job, "flambeau", **options)
    return waiting(call, lambda result: result._array) if job == INFERENCE else call


def torch_compiled(job, **options):
    if not shutil.which(os.environ.get("CXX", "g++")):
        raise ModuleNotFoundError("torch.compile needs a C++ compiler")
    return imperative(job, "torch", **options)


# --- JAX and what is built on it -------------------------------------------------------------------------------------


def waiting(call, array_of=lambda result: result):
    def wait():
        result = call()
        array_of(result).block_until_ready()
        return result

    return wait


def arrays(job):
    import jax

    weights, x, y = beginning(job)
    return [jax.numpy.asarray(w) for w in weights], jax.numpy.asarray(x), jax.numpy.asarray(y, np.int32)


def cross_entropy(logits, labels):
    import jax

    return -jax.numpy.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()


def raw_forward(p, x):
    import jax

    if len(p) == 4:
        return jax.nn.relu(x @ p[0].T + p[1]) @ p[2].T + p[3]
    for i in range(0, len(p) - 2, 4):
        x = x @ p[i].T + p[i + 1]
        x = (x - x.mean(-1, keepdims=True)) * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)
        x = jax.nn.gelu(x * p[i + 2] + p[i + 3], approximate=False)
    return x @ p[-2].T + p[-1]


def raw_sgd(params, grads, state):
    state = [0.9 * s + g for s, g in zip(state, grads, strict=True)]
    return [p - 0.01 * s for p, s in zip(params, state, strict=True)], state


def raw_adamw(params, grads, state):
    count, means, squares = state
    count = count + 1
    means = [0.9 * m + 0.1 * g for m, g in zip(means, grads, strict=True)]
    squares = [0.999 * s + 0.001 * g * g for s, g in zip(squares, grads, strict=True)]
    rate, root = 1e-3 / (1 - 0.9**count), (1 - 0.999**count) ** 0.5
    each = zip(params, means, squares, strict=True)
    return [p * (1 - 1e-5) - rate * m / (s**0.5 / root + 1e-8) for p, m, s in each], (count, means, squares)


def raw_jax(job, asynchronous=True):
    import jax

    jax.config.update("jax_cpu_enable_async_dispatch", asynchronous)  # True is JAX's default; flambeau turns it off
    params, x, y = arrays(job)
    if job == INFERENCE:
        return waiting(partial(jax.jit(raw_forward), params, x))
    zeros = partial(jax.tree.map, jax.numpy.zeros_like, params)
    update, state = (raw_adamw, (jax.numpy.float32(0), zeros(), zeros())) if job == DEEP else (raw_sgd, zeros())

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, x, y):
        loss, grads = jax.value_and_grad(lambda p: cross_entropy(raw_forward(p, x), y))(params)
        return *update(params, grads, state), loss

    def run():
        nonlocal params, state
        params, state, loss = step(params, state, x, y)
        return loss

    return run


def optax_of(job):
    import optax

    return optax.adamw(1e-3, weight_decay=0.01) if job == DEEP else optax.sgd(0.01, momentum=0.9)


def equinox(job):
    import equinox as eqx
    import jax

    nn, (weights, x, y), optimizer = eqx.nn, arrays(job), optax_of(job)
    gelu, relu = nn.Lambda(partial(jax.nn.gelu, approximate=False)), nn.Lambda(jax.nn.relu)
    model = nn.Sequential(layers(job, partial(nn.Linear, key=jax.random.key(0)), nn.LayerNorm, gelu, relu))
    params, rest = eqx.partition(model, eqx.is_array)
    model = eqx.combine(jax.tree.unflatten(jax.tree.structure(params), weights), rest)
    state = optimizer.init(eqx.filter(model, eqx.is_array))

    @eqx.filter_jit
    def step(model, state, x, y):
        loss, grads = eqx.filter_value_and_grad(lambda m: cross_entropy(jax.vmap(m)(x), y))(model)
        updates, state = optimizer.update(grads, state, eqx.filter(model, eqx.is_array))
        return eqx.apply_updates(model, updates), state, loss

    def run():
        nonlocal model, state
        model, state, loss = step(model, state, x, y)
        return loss

    return run


def flax_nnx(job, cached=False):
    import jax
    from flax import nnx

    (weights, x, y), rngs = arrays(job), nnx.Rngs(0)
    linear, norm = partial(nnx.Linear, rngs=rngs), partial(nnx.LayerNorm, epsilon=1e-5, rngs=rngs)
    model = nnx.Sequential(*layers(job, linear, norm, partial(jax.nn.gelu, approximate=False), jax.nn.relu))
    given = iter(weights)
    for layer in model.layers:
        if isinstance(layer, nnx.Module):
            main = layer.kernel if isinstance(layer, nnx.Linear) else layer.scale
            main[...], layer.bias[...] = next(given).T, next(given)
    optimizer = nnx.Optimizer(model, optax_of(job), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer, x, y):
        loss, grads = nnx.value_and_grad(lambda m: cross_entropy(m(x), y))(model)
        optimizer.update(model, grads)
        return loss

    bind = nnx.cached_partial if cached else partial
    return partial(bind(step, model, optimizer), x, y)


# --- the processes ---------------------------------------------------------------------------------------------------

OURS = "flambeau compiled"
EVERY, TRAINING = tuple(STEPS), (MLP, DEEP)
CANDIDATES = {
    OURS: (partial(flambeau, whole=True), EVERY),
    "flambeau eager": (flambeau, EVERY),
    "torch eager": (partial(imperative, library="torch"), EVERY),
    "torch, fused optimizer": (partial(imperative, library="torch", fused=True), TRAINING),
    # AdamW that is not fused is recompiled at each step, until torch.compile gives it up.
    "torch.compile(step), fused optimizer": (partial(torch_compiled, whole=True, fused=True), TRAINING),
    "torch.compile(forward and loss), fused optimizer": (partial(torch_compiled, forward=True, fused=True), TRAINING),
    "raw JAX": (raw_jax, EVERY),
    "raw JAX, synchronous dispatch": (partial(raw_jax, asynchronous=False), EVERY),
    "Equinox, filter_jit": (equinox, TRAINING),
    "Flax NNX, nnx.jit": (flax_nnx, TRAINING),
    "Flax NNX, nnx.jit and cached_partial": (partial(flax_nnx, cached=True), TRAINING),
}


def look(result):
    """A number that is the same whoever computed it: a loss, or the sum of an output."""
    return result.sum().item()


def work(name, job):
    """A candidate's process: prints its first results, then a step's seconds for each line that it reads."""
    try:
        step = CANDIDATES[name][0](job)
    except ModuleNotFoundError as error:
        print(json.dumps(str(error)), flush=True)
        return
    results = [look(step()) for _ in range(5)]
    for _ in range(STEPS[job]):
        step()
    print(json.dumps(results), flush=True)
    serve(step, look, STEPS[job])


def measure(job, rounds):
    """Median seconds a step of each candidate that is installed."""
    processes, results = {}, {}
    for name in (name for name, (_, jobs) in CANDIDATES.items() if job in jobs):
        command = [sys.executable, __file__, name, job]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        first = json.loads(process.stdout.readline())
        if isinstance(first, str):
            print(f"{name}: {first}", file=sys.stderr)
            continue
        processes[name], results[name] = process, first
        assert np.allclose(first, results[OURS], rtol=1e-4), f"{name}, {job}: {first}, but flambeau has {results[OURS]}"
    return turns(processes, rounds)


def main(rounds=15):
    found = {job: measure(job, rounds) for job in STEPS}
    print("| ms (times flambeau compiled) | " + " | ".join(STEPS) + " |\n" + "|---" * (len(STEPS) + 1) + "|")
    for name, (_, jobs) in CANDIDATES.items():
        cells = {job: "not installed" if job in jobs else "" for job in STEPS}
        for job, figures in found.items():
            if name in figures:
                cells[job] = f"{figures[name] * 1e3:.3f} ({figures[name] / figures[OURS]:.2f})"
        print(f"| {name} | " + " | ".join(cells.values()) + " |")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        work(*sys.argv[1:])
    else:
        main(*map(int, sys.argv[1:]))
