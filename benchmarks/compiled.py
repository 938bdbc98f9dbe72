"""A compiled training step against the same step hand-written in raw JAX, and against torch eager.

    python benchmarks/compiled.py

Steps are timed in blocks with one `loss.item()` at the end of each. Prints a Markdown table. Run it on a quiet machine.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import torch
from measure import interleaved

import flambeau as fb

BLOCK = 20  # steps between two looks at the loss


def block(step: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> None:
        for _ in range(BLOCK):
            loss = step()
        loss.item()

    return run


# --- the networks, by either library ---------------------------------------------------------------------------------


def mlp(lib):
    nn = lib.nn
    model = nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10))
    return model, lib.optim.SGD(model.parameters(), lr=0.01, momentum=0.9), (32, 20)


def deep(lib):
    nn = lib.nn
    layers = [part for _ in range(32) for part in (nn.Linear(128, 128), nn.LayerNorm(128), nn.GELU())]
    model = nn.Sequential(*layers, nn.Linear(128, 10))
    return model, lib.optim.AdamW(model.parameters(), lr=1e-3), (64, 128)


def lenet(lib):
    nn = lib.nn
    model = nn.Sequential(
        nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    return model, lib.optim.Adam(model.parameters(), lr=1e-3), (64, 3, 32, 32)


def step_of(lib, build):
    lib.manual_seed(0)
    model, optimizer, shape = build(lib)
    x, y = lib.randn(*shape), lib.randint(0, 10, (shape[0],))

    def step(x, y):
        optimizer.zero_grad()
        loss = lib.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step, x, y, model


# --- the same in raw JAX ---------------------------------------------------------------------------------------------


def cross_entropy(logits, labels):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()


def sgd(params, grads, state, lr=0.01, momentum=0.9):
    state = [momentum * s + g for s, g in zip(state, grads, strict=True)]
    return [p - lr * s for p, s in zip(params, state, strict=True)], state


def adam(params, grads, state, decay=0.0, lr=1e-3):
    count, means, squares = state
    count = count + 1
    means = [0.9 * m + 0.1 * g for m, g in zip(means, grads, strict=True)]
    squares = [0.999 * s + 0.001 * g * g for s, g in zip(squares, grads, strict=True)]
    scale, root = lr / (1 - 0.9**count), jnp.sqrt(1 - 0.999**count)
    params = [
        p * (1 - lr * decay) - scale * m / (jnp.sqrt(s) / root + 1e-8)
        for p, m, s in zip(params, means, squares, strict=True)
    ]
    return params, (count, means, squares)


def raw_mlp(p, x):
    return jax.nn.relu(x @ p[0].T + p[1]) @ p[2].T + p[3]


def raw_deep(p, x):
    for i in range(32):
        w, b, g, c = p[4 * i : 4 * i + 4]
        x = x @ w.T + b
        mean = x.mean(-1, keepdims=True)
        var = ((x - mean) ** 2).mean(-1, keepdims=True)
        x = jax.nn.gelu((x - mean) * jax.lax.rsqrt(var + 1e-5) * g + c, approximate=False)
    return x @ p[-2].T + p[-1]


def raw_lenet(p, x):
    def convolve(x, w, b):
        return jax.lax.conv_general_dilated(x, w, (1, 1), "VALID") + b[:, None, None]

    def pool(x):
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    x = pool(jax.nn.relu(convolve(x, p[0], p[1])))
    x = pool(jax.nn.relu(convolve(x, p[2], p[3]))).reshape(x.shape[0], -1)
    x = jax.nn.relu(x @ p[4].T + p[5])
    return jax.nn.relu(x @ p[6].T + p[7]) @ p[8].T + p[9]


def raw_step(forward, params, update, state):
    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, x, y):
        loss, grads = jax.value_and_grad(lambda p: cross_entropy(forward(p, x), y))(params)
        params, state = update(params, grads, state)
        return params, state, loss

    held = [params, state]

    def run(x, y):
        held[0], held[1], loss = step(held[0], held[1], x, y)
        return loss

    return run


def main() -> None:
    jobs = {
        "MLP 20-256-10, batch 32, SGD momentum": (mlp, raw_mlp, sgd),
        "32 x (Linear 128, LayerNorm, GELU), batch 64, AdamW": (deep, raw_deep, functools.partial(adam, decay=0.01)),
        "LeNet, batch 64, Adam": (lenet, raw_lenet, adam),
    }
    print(
        "| training step (ms) | flambeau eager | flambeau compiled | raw JAX | torch eager | compiled / raw JAX | torch / compiled |"
    )
    print("|---|---|---|---|---|---|---|")
    for what, (build, forward, update) in jobs.items():
        step, x, y, model = step_of(fb, build)
        params = [jnp.array(p._array, copy=True) for p in model.parameters()]
        zeros = [jnp.zeros_like(p) for p in params]
        state = zeros if update is sgd else (jnp.zeros((), jnp.float32), zeros, [jnp.zeros_like(p) for p in params])
        raw = raw_step(forward, params, update, state)
        rx, ry = x._array, y._array
        compiled = fb.compile(step_of(fb, build)[0])
        their_step, tx, ty, _ = step_of(torch, build)
        figures = interleaved(
            {
                "eager": block(lambda step=step, x=x, y=y: step(x, y)),
                "flambeau": block(lambda c=compiled, x=x, y=y: c(x, y)),
                "raw": block(lambda r=raw, x=rx, y=ry: r(x, y)),
                "torch": block(lambda s=their_step, x=tx, y=ty: s(x, y)),
            },
            rounds=11,
            seconds=0.2,
        )
        f = {k: v / BLOCK * 1e3 for k, v in figures.items()}
        print(
            f"| {what} | {f['eager']:.3f} | {f['flambeau']:.3f} | {f['raw']:.3f} | {f['torch']:.3f} "
            f"| {f['flambeau'] / f['raw']:.2f} | {f['torch'] / f['flambeau']:.2f} |"
        )


if __name__ == "__main__":
    main()
