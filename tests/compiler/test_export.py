"""Modules for JAX code (`jax_function`), and as files that run without their source (`export`)."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flambeau as fb
from flambeau import nn


def network() -> nn.Module:
    fb.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(36, 3),
    )


def test_a_pure_function_under_jit_grad_and_vmap() -> None:
    model, x = network().eval(), fb.randn(5, 1, 8, 8)
    f, params = fb.jax_function(model)
    expected = model(x)
    assert set(params) == set(model.state_dict()) and f.buffer_names == tuple(n for n, _ in model.named_buffers())
    for call in (f, jax.jit(f)):
        np.testing.assert_allclose(call(params, x.numpy()), expected.detach().numpy(), rtol=1e-5, atol=1e-6)
    weights = {k: v for k, v in params.items() if k not in f.buffer_names}
    rest = {k: params[k] for k in f.buffer_names}
    grads = jax.grad(lambda w: f({**w, **rest}, x.numpy()).sum())(weights)
    expected.sum().backward()
    for name, p in model.named_parameters():
        np.testing.assert_allclose(grads[name], p.grad.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)
    mapped = jax.vmap(lambda one: f(params, one[None])[0])(x.numpy())
    np.testing.assert_allclose(mapped, expected.detach().numpy(), rtol=1e-5, atol=1e-6)
    assert not isinstance(model[0].weight._array, jax.core.Tracer)


def test_buffers_come_back_and_the_module_keeps_its_own() -> None:
    model = nn.BatchNorm1d(3)
    x = fb.randn(6, 3)
    f, params = fb.jax_function(model, return_buffers=True)
    _, buffers = jax.jit(f)(params, x.numpy())
    assert model.num_batches_tracked.item() == 0 and not model.running_mean.any()
    model(x)
    for name in f.buffer_names:
        np.testing.assert_allclose(buffers[name], getattr(model, name).numpy(), rtol=1e-6)


def test_what_is_not_pure_is_refused() -> None:
    f, params = fb.jax_function(nn.Dropout(0.5))
    with pytest.raises(RuntimeError, match=r"random numbers.*eval\(\)"):
        f(params, jnp.ones(3))
    f, params = fb.jax_function(nn.Linear(2, 2))
    with pytest.raises(KeyError, match="unknown"):
        f({**params, "extra": jnp.ones(1)}, jnp.ones((1, 2)))
    with pytest.raises(TypeError, match="module"):
        fb.jax_function(3)


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, a, b):
        h = self.layer(a) + b
        return {"z": h, "a": (h.sum(), [a * 2]), "n": 3}


def test_export_save_load(tmp_path) -> None:
    model, a, b = Several(), fb.randn(3, 4), fb.randn(3, 2)
    fb.export(model, (a, b), dynamic_batch=True).save(tmp_path / "model.fbx")
    loaded = fb.load_exported(tmp_path / "model.fbx")
    for rows in (3, 7):
        a, b = fb.randn(rows, 4), fb.randn(rows, 2)
        ours, theirs = loaded(a, b), model(a, b)
        assert list(ours) == ["z", "a", "n"] and ours["n"] == 3 and isinstance(ours["a"], tuple)
        np.testing.assert_allclose(ours["z"].numpy(), theirs["z"].detach().numpy(), rtol=1e-6)
        np.testing.assert_allclose(ours["a"][1][0].numpy(), (a * 2).numpy())
    with pytest.raises(ValueError, match="expected float32"):
        loaded(a, fb.randn(7, 5))
    with pytest.raises(TypeError, match="takes 2 tensors"):
        loaded(a)
    with pytest.raises(TypeError, match="must be Tensor"):
        loaded(a, 3)


def test_it_runs_in_a_process_without_the_source(tmp_path) -> None:
    model, x = network().eval(), fb.randn(2, 1, 8, 8)
    fb.export(model, x).save(tmp_path / "net.fbx")
    np.save(tmp_path / "x.npy", x.numpy())
    code = "import flambeau as fb, numpy as np; print(fb.load_exported('net.fbx')(fb.from_numpy(np.load('x.npy'))).tolist())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    np.testing.assert_allclose(np.array(eval(done.stdout)), model(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_bfloat16_parameters_survive(tmp_path) -> None:
    model = nn.Linear(4, 2).bfloat16()
    x = fb.randn(3, 4).bfloat16()
    fb.export(model, x).save(tmp_path / "m")
    assert fb.equal(fb.load_exported(tmp_path / "m")(x), model(x).detach())


def test_bad_files(tmp_path) -> None:
    path = tmp_path / "m"
    with pytest.raises(FileNotFoundError):
        fb.load_exported(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="no exported program"):
        fb.load_exported(path)
    fb.export(nn.Linear(2, 2), fb.ones(1, 2)).save(path)
    whole = path.read_bytes()
    for cut in (10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match="no exported program"):
            fb.load_exported(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", '{"format": "flambeau.export", "version": 99}')
    with pytest.raises(ValueError, match="version 99"):
        fb.load_exported(path)


def test_random_numbers_cannot_be_exported() -> None:
    with pytest.raises(RuntimeError, match="random numbers"):
        fb.export(network(), fb.randn(2, 1, 8, 8))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)

    def forward(self, x: fb.Tensor) -> fb.Tensor:
        n, length, width = x.shape
        q, k, v = (t.view(n, length, 2, width // 2).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        weights = (q @ k.transpose(-2, -1)).masked_fill(fb.ones(length, length).tril() == 0, float("-inf")).softmax(-1)
        return (weights @ v).transpose(1, 2).contiguous().view(n, length, width) + fb.zeros(n, 1, width)


@pytest.mark.parametrize("kind", ["classifier", "attention", "shapes"])
def test_an_open_batch_size_goes_through_shapes(kind: str) -> None:
    class Shapes(nn.Module):
        def forward(self, x: fb.Tensor) -> object:
            n = x.size(0)
            return [
                x.view(n, -1),
                x.reshape(n * 3, 4),
                x[:, 1:],
                x.flatten(1),
                fb.ones_like(x),
                x[:, :1].expand(-1, 3, 4),
            ]

    model = {"classifier": network, "attention": Attention, "shapes": Shapes}[kind]().eval()
    shape = (1, 8, 8) if kind == "classifier" else (3, 4) if kind == "shapes" else (5, 8)
    exported = fb.export(model, fb.randn(2, *shape), dynamic_batch=True)
    for n in (1, 2, 5):
        x = fb.randn(n, *shape)
        ours, theirs = exported(x), model(x)
        for a, b in zip(*((v if isinstance(v, list) else [v]) for v in (ours, theirs)), strict=True):
            np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_values_cannot_be_exported() -> None:
    class Normed(nn.Module):
        def forward(self, x: fb.Tensor) -> fb.Tensor:
            return x / x.sum().item()

    with pytest.raises(RuntimeError, match=r"test_export.py, line \d+, in forward.* only known when"):
        fb.export(Normed(), fb.ones(3))
