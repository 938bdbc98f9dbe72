"""Sparsifiers and their schedules, compared with PyTorch's."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import torch.ao.pruning
import torch.ao.pruning.sparsifier.utils

import flambeau as fb
import flambeau.ao.pruning.sparsifier.utils

BOTH = (fb, torch)


def model_of(lib: Any) -> Any:
    lib.manual_seed(0)
    nn = lib.nn
    return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 4)))


def masks(sparsifier: Any) -> dict[str, Any]:
    found = {}
    for group in sparsifier.groups:
        mask = group["module"].parametrizations[group["tensor_name"]][0].mask
        kept = sparsifier.state[group["tensor_fqn"]].get("mask")  # PyTorch has none after loading
        assert kept is None or (kept == mask).all()
        found[group["tensor_fqn"]] = mask.int().tolist()
    return found


SETTINGS = [
    {}, {"norm": 1}, {"norm": lambda t: -t}, {"zeros_per_block": 2}, {"zeros_per_block": 0}, {"sparse_block_shape": (3, 3)},
    {"sparsity_level": 0.0}, {"sparsity_level": 1.0}, {"sparse_block_shape": (1, 1), "sparsity_level": 0.3},
    {"sparse_block_shape": (4, 1), "sparsity_level": 0.37}, {"sparse_block_shape": (1, 4), "zeros_per_block": 2, "sparsity_level": 1.0},
    {"sparse_block_shape": (2, 2), "zeros_per_block": 2}, {"sparsity_level": 0.29}, {"sparse_block_shape": (5, 7)},
    {"sparse_block_shape": (2, 1), "sparsity_level": 0.9},
]  # fmt: skip


@pytest.mark.parametrize("i", range(len(SETTINGS)))
def test_the_smallest_blocks_are_zeroed(i: int) -> None:
    found = []
    for lib in BOTH:
        sparsifier = lib.ao.pruning.WeightNormSparsifier(**SETTINGS[i])
        sparsifier.prepare(model_of(lib), [{"tensor_fqn": "0.weight"}])
        sparsifier.step()
        found.append([masks(sparsifier)])
        sparsifier.step()
        found[-1].append(masks(sparsifier))
    assert found[0] == found[1]


def test_parts_of_blocks_beyond_the_tensor_are_no_zeros() -> None:
    found = []
    for lib in BOTH:  # PyTorch's mask is larger than the tensor, and fails when it is used
        sparsifier = lib.ao.pruning.WeightNormSparsifier(1.0, (2, 3), 3)
        sparsifier.prepare(model_of(lib), [{"tensor_fqn": "0.weight"}])
        sparsifier.step()
        found.append([row[:8] for row in masks(sparsifier)["0.weight"]])
    assert found[0] == found[1]


@pytest.mark.parametrize("nearliness", [1, 3, 7, 2, 15])
def test_near_the_diagonal(nearliness: int) -> None:
    found = []
    for lib in BOTH:
        sparsifier = lib.ao.pruning.NearlyDiagonalSparsifier(nearliness)
        sparsifier.prepare(model_of(lib), [{"tensor_fqn": "0.weight"}, {"tensor_fqn": "2.1.weight"}])
        try:
            sparsifier.step()
        except ValueError as error:
            found.append(str(error))
        else:
            found.append(masks(sparsifier))
    assert found[0] == found[1]


def test_a_model_is_prepared_trained_saved_and_squashed() -> None:
    found: list[Any] = []
    for lib in BOTH:
        model, saved = model_of(lib), []
        sparsifier = lib.ao.pruning.WeightNormSparsifier(0.5)
        saved.append(repr(sparsifier))
        settings = {"sparsity_level": 0.8, "sparse_block_shape": (2, 2)}
        sparsifier.prepare(model, [{"tensor_fqn": "0.weight"}, {"tensor_fqn": "2.0.weight", **settings}])
        sparsifier.step()
        saved += [repr(sparsifier), repr(model), list(model.state_dict()), sparsifier.state_dict()["groups"]]
        model(lib.ones(1, 8)).sum().backward()
        grad = model[0].parametrizations.weight.original.grad
        saved.append((grad == 0).tolist())
        other = lib.ao.pruning.WeightNormSparsifier()
        other.prepare(model_of(lib), None)
        saved.append([g["tensor_fqn"] for g in other.groups])
        other.load_state_dict(sparsifier.state_dict())
        saved += [masks(other), list(other.groups[1])]
        sparsifier.squash_mask(("sparsity_level",), {"2.0": ("sparse_block_shape",)})
        saved += [model[0].sparse_params, model[2][0].sparse_params, type(model[0]).__name__, repr(model)]
        saved += [isinstance(model[0].weight, lib.nn.Parameter), (model[0].weight == 0).tolist()]
        with pytest.raises(RuntimeError, match=r"Error loading 9\.weight into the model"):
            other.load_state_dict({"state": {"9.weight": {}}, "groups": []})
        found.append(saved)
    assert found[0] == found[1]


def test_an_own_sparsifier() -> None:
    found: list[Any] = []
    for lib in BOTH:
        seen: list[Any] = []

        class Own(lib.ao.pruning.BaseSparsifier):  # type: ignore[misc, name-defined]
            def update_mask(self, module: Any, tensor_name: str, **settings: Any) -> None:
                seen.append((tensor_name, sorted(settings), settings["test"]))  # noqa: B023
                module.parametrizations[tensor_name][0].mask[0] = 0

        sparsifier = Own({"test": 3})
        model = model_of(lib)
        sparsifier.prepare(model, [{"tensor_fqn": "0.weight", "test": 1}, {"tensor_fqn": "2.1.weight"}])
        sparsifier.step()
        sparsifier.enable_mask_update = False
        sparsifier.step()
        found.append([seen, masks(sparsifier)])
        with pytest.raises(AssertionError, match="config elements should be dicts"):
            Own().prepare(model, ["0.weight"])
        with pytest.raises(AssertionError, match="tensor_fqn is a required argument"):
            Own().prepare(model, [{}])
        with pytest.raises(TypeError, match="abstract"):
            lib.ao.pruning.BaseSparsifier()
    assert found[0] == found[1]


SCHEDULES = [
    lambda p, s: p.LambdaSL(s, lambda e: e * 0.1, verbose=True),
    lambda p, s: p.LambdaSL(s, [lambda e: 0.9**e] * 3),
    lambda p, s: p.CubicSL(s),
    lambda p, s: p.CubicSL(s, 0.1, 2, 2, 5),
    lambda p, s: p.CubicSL(s, [0.1, 0.2, 0.3], 3, 1, 4, initially_zero=True),
    lambda p, s: p.CubicSL(s, [0.1]),
    lambda p, s: p.LambdaSL(s, [lambda e: 1]),
]


@pytest.mark.parametrize("i", range(len(SCHEDULES)))
def test_schedules(i: int, capsys: pytest.CaptureFixture[str]) -> None:
    found: list[Any] = []
    for lib in BOTH:
        sparsifier = lib.ao.pruning.WeightNormSparsifier()
        sparsifier.prepare(model_of(lib), None)
        levels: list[Any] = []
        try:
            schedule = SCHEDULES[i](lib.ao.pruning, sparsifier)
            for _ in range(9):
                levels.append(
                    ([g["sparsity_level"] for g in sparsifier.groups], schedule.get_last_sl(), schedule.last_epoch)
                )
                sparsifier.step()
                schedule.step()
            levels += [sorted(schedule.state_dict()), repr(schedule)]
            levels.append([sum(map(sum, mask)) for mask in masks(sparsifier).values()])  # which of equal blocks is open
        except ValueError as error:
            levels.append(str(error))
        found.append((levels, capsys.readouterr().out))
    assert found[0] == found[1]


def test_a_forgotten_step_is_told() -> None:
    for lib in BOTH:
        sparsifier = lib.ao.pruning.WeightNormSparsifier()
        sparsifier.prepare(model_of(lib), None)
        schedule = lib.ao.pruning.LambdaSL(sparsifier, lambda e: 1)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            schedule.step()
            schedule.get_sl()
        assert ["before `sparsifier.step()`" in str(seen[0].message), "`get_last_sl()`" in str(seen[1].message)] == [
            True,
            True,
        ]


def test_paths_and_swaps() -> None:
    found: list[Any] = []
    for lib in BOTH:
        tools, nn = lib.ao.pruning.sparsifier.utils, lib.nn
        model = model_of(lib)
        told: list[Any] = []
        for path in ("2.0.weight", "nope.weight", "weight"):
            info = tools.get_arg_info_from_tensor_fqn(model, path)
            told.append({k: v if isinstance(v, str | None) else type(v).__name__ for k, v in info.items()})
        told += [tools.module_to_fqn(model, m) for m in (model, model[2][0], nn.ReLU())]
        told += [type(tools.fqn_to_module(model, path)).__name__ for path in ("2.0.weight", "x.y", "")]

        class Sparse(nn.Linear):  # type: ignore[misc, name-defined]
            @classmethod
            def from_dense(cls, dense: Any) -> Any:
                return cls(dense.in_features, dense.out_features)

        sparsifier = lib.ao.pruning.WeightNormSparsifier()
        sparsifier.prepare(model, [{"tensor_fqn": "0.weight"}, {"tensor_fqn": "2.1.weight"}])
        told += [tools.module_contains_param(model[i], tools.FakeSparsity) for i in (0, 1)]
        made = sparsifier.convert(model, {nn.Linear: Sparse})
        told += [
            repr(made),
            made is model,
            sparsifier.convert(model, {nn.Linear: Sparse}, inplace=True) is model,
            repr(model),
        ]
        with pytest.raises(NotImplementedError):
            sparsifier.convert(model)
        found.append(told)
    assert found[0] == found[1]
