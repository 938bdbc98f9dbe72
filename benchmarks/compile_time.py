"""How long the first call of a compiled ResNet34 training step takes: tracing and XLA, in flambeau and in raw JAX.

    python benchmarks/compile_time.py

Each measurement is a process of its own without a compilation cache; the two take turns. Prints a Markdown table.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from typing import Any

ROUNDS = 5
SIZE = (8, 3, 224, 224)


def flambeau() -> float:
    from networks import network

    import flambeau as fb

    fb.manual_seed(0)
    model = network(fb, "ResNet34")
    optimizer = fb.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    x, y = fb.randn(*SIZE), fb.randint(0, 10, SIZE[:1])

    @fb.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = fb.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    start = time.perf_counter()
    step(x, y).item()
    first = time.perf_counter() - start
    start = time.perf_counter()
    step(x, y).item()
    return first - (time.perf_counter() - start)


def raw_jax() -> float:
    """The same network and step, written by hand."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    rng = np.random.default_rng(0)

    def weight(*shape: int) -> Any:
        return jnp.asarray(rng.standard_normal(shape, np.float32) / np.prod(shape[1:]) ** 0.5)

    def new(inside: int, out: int, kernel: int) -> tuple[Any, Any]:
        """A convolution and its batch norm: parameters and running statistics."""
        affine = {"scale": jnp.ones(out), "shift": jnp.zeros(out)}
        return {"w": weight(out, inside, kernel, kernel), **affine}, {"mean": jnp.zeros(out), "var": jnp.ones(out)}

    plan, inside = [("first", 3, 64, 7, 2)], 64
    for out, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(count):
            block, step = f"{out}-{i}", stride if i == 0 else 1
            plan += [(block + "a", inside, out, 3, step), (block + "b", out, out, 3, 1)]
            if step != 1 or inside != out:
                plan.append((block + "s", inside, out, 1, step))
            inside = out
    made = {name: new(i, o, k) for name, i, o, k, _ in plan}
    strides = {name: stride for name, _, _, _, stride in plan}
    params = {name: p for name, (p, _) in made.items()} | {"head": {"w": weight(1000, 512), "b": jnp.zeros(1000)}}
    stats = {name: s for name, (_, s) in made.items()}

    def forward(params: Any, stats: Any, x: Any) -> Any:
        new_stats = {}

        def convolved(name: str, x: Any) -> Any:
            p, s, stride = params[name], stats[name], strides[name]
            pad = p["w"].shape[2] // 2
            x = jax.lax.conv_general_dilated(x, p["w"], (stride, stride), [(pad, pad)] * 2)
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
            count = x.size / x.shape[1]
            new_stats[name] = {
                "mean": 0.9 * s["mean"] + 0.1 * mean,
                "var": 0.9 * s["var"] + 0.1 * var * count / (count - 1),
            }
            scale = p["scale"] * jax.lax.rsqrt(var + 1e-5)
            return (x - mean[:, None, None]) * scale[:, None, None] + p["shift"][:, None, None]

        x = jax.nn.relu(convolved("first", x))
        x = jax.lax.reduce_window(
            x, -jnp.inf, jax.lax.max, (1, 1, 3, 3), (1, 1, 2, 2), [(0, 0), (0, 0), (1, 1), (1, 1)]
        )
        for name in strides:
            if name.endswith("a"):
                block = name[:-1]
                y = convolved(block + "b", jax.nn.relu(convolved(name, x)))
                x = jax.nn.relu(y + (convolved(block + "s", x) if block + "s" in params else x))
        return x.mean((2, 3)) @ params["head"]["w"].T + params["head"]["b"], new_stats

    def step(params: Any, momentum: Any, stats: Any, x: Any, y: Any) -> Any:
        def loss_of(params: Any) -> Any:
            logits, new_stats = forward(params, stats, x)
            return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean(), new_stats

        (loss, new_stats), grads = jax.value_and_grad(loss_of, has_aux=True)(params)
        momentum = jax.tree.map(lambda m, g: 0.9 * m + g, momentum, grads)
        return jax.tree.map(lambda p, m: p - 0.001 * m, params, momentum), momentum, new_stats, loss

    run = jax.jit(step, donate_argnums=(0, 1, 2))
    momentum = jax.tree.map(jnp.zeros_like, params)
    x, y = jnp.asarray(rng.standard_normal(SIZE, np.float32)), jnp.asarray(rng.integers(0, 10, SIZE[0]))
    start = time.perf_counter()
    params, momentum, stats, loss = run(params, momentum, stats, x, y)
    float(loss)
    first = time.perf_counter() - start
    start = time.perf_counter()
    float(run(params, momentum, stats, x, y)[-1])
    return first - (time.perf_counter() - start)


def main() -> None:
    times: dict[str, list[float]] = {"flambeau": [], "raw JAX": []}
    environment = {**os.environ, "FLAMBEAU_CACHE": "0"}
    for _ in range(ROUNDS):
        for name, found in times.items():
            done = subprocess.run(
                [sys.executable, __file__, name], env=environment, capture_output=True, text=True, check=True
            )
            found.append(float(done.stdout))
    ours, theirs = (statistics.median(found) for found in times.values())
    print(
        "| first call of a ResNet34 training step, less a later one (s) | flambeau | raw JAX | ratio |\n|---|---|---|---|"
    )
    print(f"| trace and compile | {ours:.1f} | {theirs:.1f} | {ours / theirs:.2f} |")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print({"flambeau": flambeau, "raw JAX": raw_jax}[sys.argv[1]]())
    else:
        main()
