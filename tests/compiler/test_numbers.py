"""A new value of an operator's number compiles nothing: `float` parameters of operators are inputs of their programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import flambeau as fb
from flambeau.nn import functional as F


def compiles(code: Callable[[], Any]) -> int:
    """How many times XLA compiles while the code runs."""
    seen: list[str] = []

    def listen(event: str, seconds: float, **_: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        code()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return len(seen)


OPTIONS: dict[str, Callable[[Any, float], Any]] = {
    "leaky_relu": lambda x, k: F.leaky_relu(x, k),
    "elu": lambda x, k: F.elu(x, k),
    "celu": lambda x, k: F.celu(x, k),
    "threshold": lambda x, k: F.threshold(x, k, k),
    "hardshrink": lambda x, k: F.hardshrink(x, k),
    "softshrink": lambda x, k: F.softshrink(x, k),
    "softplus": lambda x, k: F.softplus(x, k),
    "hardtanh": lambda x, k: F.hardtanh(x, -k, k),
    "layer_norm": lambda x, k: F.layer_norm(x, (3,), eps=k),
    "group_norm": lambda x, k: F.group_norm(x[None], 2, eps=k),
    "batch_norm": lambda x, k: F.batch_norm(x, fb.zeros(3), fb.ones(3), training=True, momentum=k, eps=k),
    "huber_loss": lambda x, k: F.huber_loss(x, x * 2, delta=k),
    "smooth_l1_loss": lambda x, k: F.smooth_l1_loss(x, x * 2, beta=k),
    "margin_ranking_loss": lambda x, k: F.margin_ranking_loss(x, x * 2, x, margin=k),
    "cross_entropy": lambda x, k: F.cross_entropy(x, fb.tensor([0, 1]), label_smoothing=k),
    "normalize": lambda x, k: F.normalize(x, eps=k),
    "cosine_similarity": lambda x, k: F.cosine_similarity(x, x * 2, eps=k),
    "clamp": lambda x, k: x.clamp(k, 5.0),
    "clamp_min": lambda x, k: x.clamp(min=k),
    "pow": lambda x, k: x.abs() ** k,
    "full": lambda x, k: fb.full((3,), k),
    "fill_": lambda x, k: x.clone().fill_(k),
    "add_alpha": lambda x, k: x.add(x, alpha=k),
    "addmm": lambda x, k: fb.addmm(x, x, fb.eye(3), beta=k, alpha=k),
    "addcmul": lambda x, k: x.addcmul(x, x, value=k),
    "lerp": lambda x, k: fb.lerp(x, x, k),
    "masked_fill": lambda x, k: x.masked_fill(x > 0, k),
    "nan_to_num": lambda x, k: x.nan_to_num(k),
    "linspace": lambda x, k: fb.linspace(0.0, k, 5),
    "quantile": lambda x, k: fb.quantile(x, k),
    "where": lambda x, k: fb.where(x > 0, k, x),
    "isclose": lambda x, k: fb.isclose(x, x, rtol=k, atol=k),
    "dropout": lambda x, k: F.dropout(x, k),
    "normal_": lambda x, k: x.clone().normal_(k, k),
    "uniform_": lambda x, k: x.clone().uniform_(0.0, k),
    "scaled_dot_product_attention": lambda x, k: F.scaled_dot_product_attention(x, x, x, scale=k),
    "index": lambda x, k: x * np.float64(k),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_new_number_compiles_nothing(name: str) -> None:
    x = fb.tensor([[-1.0, 2.0, -3.0], [4.0, 5.0, 6.0]])
    code = OPTIONS[name]
    code(x, 0.1234), code(x, 0.2345)
    assert compiles(lambda: [code(x, 0.31 + i / 10) for i in range(5)]) == 0
