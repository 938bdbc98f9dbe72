"""`torch.jit.save` and `load`: a scripted module in a file that needs no Python class."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

import flambeau as fb
from flambeau import nn
from flambeau.nn import functional as F

pytestmark = [
    pytest.mark.filterwarnings("ignore:torch.jit. there is no TorchScript:UserWarning"),
    pytest.mark.filterwarnings("ignore:.torch.jit.:DeprecationWarning"),  # torch of its own
]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
        self.head = nn.Linear(2, 3)
        self.unused = nn.Linear(2, 2)
        self.register_buffer("mean", fb.full((2,), 0.5))
        self.register_buffer("hidden", fb.ones(1), persistent=False)

    def forward(self, x: fb.Tensor, n: int = 1) -> fb.Tensor:
        x = F.dropout(self.features(x).mean((2, 3)) - self.mean, 0.5, self.training)
        return self.head(x) * n * self.hidden


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, x: fb.Tensor) -> fb.Tensor:
        for _ in range(x.shape[0]):
            x = x * 2
        return self.linear(x)


def through_a_file(scripted: fb.Tensor) -> nn.Module:
    return fb.jit.load(io.BytesIO(scripted.save_to_buffer()))


@pytest.mark.parametrize("make", [fb.jit.script, lambda m: fb.jit.trace(m, fb.ones(2, 1, 5, 5), check_trace=False)])
def test_another_process_runs_it_without_the_class(make, tmp_path: Path) -> None:
    fb.manual_seed(0)
    scripted, x = make(Net()), fb.randn(4, 1, 6, 6)
    scripted.eval()
    torch_name = tmp_path / "net.pt"
    scripted.save(torch_name)
    fb.save((x, scripted(x, 2).detach(), scripted.state_dict()), tmp_path / "expected.pt")
    code = (
        "import flambeau as fb\n"
        "net = fb.jit.load('net.pt'); x, y, state = fb.load('expected.pt')\n"
        "assert isinstance(net, fb.jit.ScriptModule) and net.original_name == 'Net' and not net.training\n"
        "assert fb.equal(net(x, 2), y) and fb.equal(net(x) * 2, y) and net(x[:1]).shape == (1, 3)\n"
        "assert set(net.state_dict()) == set(state)\n"
        "net(x).sum().backward(); assert net.head.weight.grad.shape == (3, 2)\n"
        "net.train(); fb.manual_seed(0); a = net(x); assert not fb.equal(a, net(x))\n"
        "net.double().eval()(x.double())\n"
        "net.save('again.pt'); assert fb.equal(fb.jit.load('again.pt')(x.double()), net(x.double()))\n"
        "assert fb.jit.load('again.pt').train()(x.double()).ne(net(x.double())).any()\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True, timeout=120)


def test_code_that_fx_does_not_follow_is_recorded_for_the_example() -> None:
    traced = fb.jit.trace(Branching(), fb.ones(3, 2), check_trace=False)
    loaded, x = through_a_file(traced), fb.randn(3, 2)
    assert fb.equal(loaded(x), traced(x))
    assert list(loaded.state_dict()) == ["linear.weight", "linear.bias"]
    loaded(x).sum().backward()
    assert loaded.linear.weight.grad is not None
    loaded.load_state_dict({name: t * 0 for name, t in loaded.state_dict().items()})
    assert not loaded(x).any() and not through_a_file(loaded)(x).any()
    with pytest.raises(AssertionError, match=r"Guard failed: x.size\(\)\[0\] == 3"):
        loaded(fb.randn(4, 2))
    with pytest.raises(RuntimeError, match=r"Branching cannot be written.*as an integer"):
        fb.jit.script(Branching()).save(io.BytesIO())


class Asking(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.BatchNorm1d(2)

    def forward(self, x: fb.Tensor) -> tuple[fb.Tensor, fb.Tensor]:
        y = self.inner(x)
        if x.sum() > 0:
            y = y * 3
        return y, x * int(x.max().item())


def test_a_branch_on_values_inside_goes_as_it_went_for_the_example() -> None:
    net = nn.Sequential(Asking())
    with pytest.warns(fb.jit.TracerWarning, match="Here the code runs at each call"):
        traced = fb.jit.trace(net, fb.full((3, 2), 2.0), check_trace=False)
    with pytest.warns(fb.jit.TracerWarning, match="Converting a tensor to a Python") as told:
        loaded = through_a_file(traced)
    asking = Path(__file__).read_text().splitlines()
    assert [asking[w.lineno - 1].split()[0] for w in told] == ["if", "return"]
    x = -fb.rand(5, 2)  # another batch, and the other branch
    y, z = loaded(x)
    fb.testing.assert_close((y, z), (nn.BatchNorm1d(2)(x) * 3, x * 2))
    assert loaded.get_buffer("0.inner.num_batches_tracked") == 2
    again = through_a_file(loaded)
    again(x)
    assert again.get_buffer("0.inner.num_batches_tracked") == 3
    with pytest.warns(fb.jit.TracerWarning):
        double = fb.jit.trace(lambda x: x * 2 if x.sum() > 0 else x, fb.ones(3))
    with pytest.warns(fb.jit.TracerWarning):
        assert through_a_file(double)(fb.tensor([-1.0])).tolist() == [-2]


def test_layers_functions_and_extra_files(tmp_path: Path) -> None:
    lstm = fb.jit.script(nn.LSTM(2, 3))
    x = fb.randn(4, 1, 2)
    assert fb.equal(through_a_file(lstm)(x)[0], lstm(x)[0])
    double = through_a_file(fb.jit.script(lambda x: x * 2 + x.shape[0]))
    assert isinstance(double, fb.jit.ScriptFunction) and double(fb.ones(3)).tolist() == [5, 5, 5]
    fb.jit.save(lstm, tmp_path / "m.pt", _extra_files={"labels.txt": "a b"})
    extra = {"labels.txt": ""}
    fb.jit.load(str(tmp_path / "m.pt"), map_location="cpu", _extra_files=extra)
    assert extra == {"labels.txt": b"a b"}


def test_files_that_are_none(tmp_path: Path) -> None:
    import torch

    with pytest.raises(ValueError, match="does not exist"):
        fb.jit.load(tmp_path / "none")
    with pytest.raises(ValueError, match="is a directory"):
        fb.jit.load(tmp_path)
    (tmp_path / "bad").write_text("x")
    with pytest.raises(RuntimeError, match="PytorchStreamReader failed reading zip archive"):
        fb.jit.load(tmp_path / "bad")
    with zipfile.ZipFile(tmp_path / "other", "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(RuntimeError, match="another kind of archive"):
        fb.jit.load(tmp_path / "other")
    torch.jit.script(torch.nn.ReLU()).save(str(tmp_path / "theirs"))
    with pytest.raises(RuntimeError, match="TorchScript archive"):
        fb.jit.load(tmp_path / "theirs")
    with pytest.raises(AttributeError, match="'Linear' object has no attribute 'save'"):
        fb.jit.save(nn.Linear(2, 2), tmp_path / "m")


def test_damaged_files(tmp_path: Path) -> None:
    whole, path = io.BytesIO(), tmp_path / "net.pt"
    fb.jit.save(fb.jit.trace(fb.nn.Linear(2, 2), fb.ones(1, 2)), whole)
    data = whole.getvalue()
    for i in range(0, len(data), len(data) // 30):
        for damaged in (data[:i], data[:i] + bytes([data[i] ^ 64]) + data[i + 1 :]):
            path.write_bytes(damaged)
            try:
                fb.jit.load(path)  # a changed byte of the time, say
            except Exception as error:
                assert type(error) is RuntimeError, error


class MayBeNone(nn.Module):
    """Branches on arguments that may be None, which a graph can't."""

    def __init__(self) -> None:
        super().__init__()
        self.d = nn.Dropout(0.5)

    def forward(self, x, scale=None, shift=None):
        if scale is not None:
            x = x * scale
        return self.d(x) if shift is None else self.d(x) + shift


@pytest.mark.parametrize("training", [True, False])
def test_arguments_that_may_be_none(training, tmp_path):
    model, x = MayBeNone().train(training), fb.arange(1.0, 5.0)
    fb.jit.save(fb.jit.script(model), tmp_path / "m.pt")
    loaded = fb.jit.load(tmp_path / "m.pt")
    for args in ((), (fb.tensor(3.0),), (None, fb.tensor(1.0)), (fb.tensor(3.0), fb.tensor(1.0))):
        fb.manual_seed(1)
        expected = model(x, *args)
        fb.manual_seed(1)
        assert loaded(x, *args).tolist() == expected.tolist()
    fb.manual_seed(1)
    expected = model(x, shift=fb.tensor(2.0))
    fb.manual_seed(1)
    assert loaded(x, shift=fb.tensor(2.0)).tolist() == expected.tolist()


def test_a_function_whose_arguments_may_be_none(tmp_path):
    def f(x, y=None):
        return x if y is None else x + y

    fb.jit.save(fb.jit.script(f), tmp_path / "f.pt")
    loaded = fb.jit.load(tmp_path / "f.pt")
    assert loaded(fb.ones(1)).item() == 1 and loaded(fb.ones(1), fb.ones(1)).item() == 2


def test_many_arguments_that_may_be_none(tmp_path):
    def f(x, a=None, b=None, c=None, d=None):
        for part in (a, b, c, d):
            x = x if part is None else x + part
        return x

    fb.jit.save(fb.jit.script(f), tmp_path / "f.pt")
    loaded, one = fb.jit.load(tmp_path / "f.pt"), fb.ones(1)
    assert loaded(one).item() == 1 and loaded(one, one, one, one, one).item() == 5
    with pytest.raises(RuntimeError, match="no graph for a call without a, b, d"):
        loaded(one, c=one)


def test_files_that_the_archive_lacks_are_empty(tmp_path: Path) -> None:
    for t in (torch, fb):
        t.jit.script(t.nn.Linear(1, 1)).save(tmp_path / "m.pt", _extra_files={"a": "x"})
        extra = {"a": "", "b": "kept?"}
        t.jit.load(tmp_path / "m.pt", _extra_files=extra)
        assert extra == {"a": b"x", "b": b""}


@pytest.mark.filterwarnings("always")
def test_torch_load_of_a_scripted_file_goes_on_to_jit_load(tmp_path: Path) -> None:
    for t in (torch, fb):
        scripted = t.jit.script(t.nn.Linear(2, 1))
        scripted.save(tmp_path / "m.pt")
        with pytest.raises(
            RuntimeError, match=r"^Cannot use ``weights_only=True`` with TorchScript archives passed to"
        ):
            t.load(tmp_path / "m.pt")
        buffer = io.BytesIO((tmp_path / "m.pt").read_bytes())
        for source in (tmp_path / "m.pt", buffer):
            with pytest.warns(UserWarning, match="received a zip file that looks like a TorchScript archive"):
                made = t.load(source, "cpu", weights_only=False)
            assert t.equal(made(t.ones(1, 2)), scripted(t.ones(1, 2)))
