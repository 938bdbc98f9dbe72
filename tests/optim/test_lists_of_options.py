"""Options that are lists, which the user's code may write into between steps."""

from __future__ import annotations

import pytest
import torch

import flambeau as fb


def losses(lib, name, compiled):
    parameter = lib.nn.Parameter(lib.tensor([1.0, -2.0, 3.0], dtype=lib.float64))
    optimizer = getattr(lib.optim, name)([{"params": [parameter], "betas": [0.9, 0.99]}], lr=0.1)

    def step():
        optimizer.zero_grad()
        loss = (parameter**2).sum()
        loss.backward()
        optimizer.step()
        return loss

    run = lib.compile(step) if compiled else step
    found = []
    for i in range(6):
        if i == 3:
            optimizer.param_groups[0]["betas"][0] = 0.2
        if i == 5:
            optimizer.param_groups[0]["betas"][1] = 0.5
        found.append(run().item())
    return found


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", ["Adam", "NAdam", "Adamax"])
def test_a_list_of_betas_is_read_at_each_step(name, compiled):
    assert losses(fb, name, compiled) == pytest.approx(losses(torch, name, False), rel=1e-12)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "NAdam", "RAdam"])
def test_what_a_list_of_betas_becomes(name):
    kinds = []
    for lib in (torch, fb):
        optimizer = getattr(lib.optim, name)([lib.nn.Parameter(lib.ones(2))], betas=[0.9, 0.99])
        kinds.append(type(optimizer.param_groups[0]["betas"]))
    assert kinds[0] is kinds[1]
