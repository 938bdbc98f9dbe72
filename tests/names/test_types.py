"""What a type checker knows of flambeau: planted errors in a user's script are found, and nothing else is."""

import contextlib
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import get_args

import pytest

import flambeau
from flambeau import nn
from flambeau.cli import shim
from flambeau.nn import _unseen

pytest.importorskip("mypy")
SCRIPT = """\
import flambeau
import flambeau.nn.functional as F
from flambeau import nn
from flambeau.utils.data import DataLoader, TensorDataset, random_split

@flambeau.compile
def fast(x: flambeau.Tensor) -> flambeau.Tensor:
    return x

@flambeau.no_grad()
def evaluate(x: flambeau.Tensor) -> float:
    return x.item()

class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x: flambeau.Tensor, deep: bool = False) -> flambeau.Tensor:
        return F.relu(self.layer(x))

x, layer, net, conv = flambeau.randn(2), nn.Linear(2, 3), Net(), nn.Conv2d(1, 2, 3)
optimizer = flambeau.optim.SGD(net.parameters(), lr=0.1)
x.sum(axis=0, keepdim=True).add_(1).view(1).to("cpu")
flambeau.add(1, x, alpha=2), x[0] + x.size(0)
F.cross_entropy(x, x).backward()
optimizer.step()
flambeau.ops.mine.add(flambeau.autograd.Variable(x) * 2, flambeau.sparse.mm(x, x))
x.meen()                             # E: "Tensor" has no attribute "meen"
x.mean().shpe                        # E: "Tensor" has no attribute "shpe"
x.sum(dims=0)                        # E: Unexpected keyword argument "dims"
flambeau.zeroes(2)                   # E: Module has no attribute "zeroes"
flambeau.topk(x, "3")                # E: Argument 2 to "topk" has incompatible type "str"
x + "1"                              # E: Unsupported operand types for +
x @ "1"                              # E: Unsupported operand types for @
x["1"]                               # E: Invalid index type "str"
x[..., None, :, [0, 1]], x[x > 0], x[flambeau.tensor([0]), 1:], x[True], x[range(2)], x[(0, 1)]
F.relu(x, inplce=True)               # E: Unexpected keyword argument "inplce"
nn.Linear(2, out_feature=3)          # E: Unexpected keyword argument "out_feature"
nn.Linear("2", 3)                    # E: Argument 1 to "Linear" has incompatible type "str"
nn.LSTM(3, 4, batchfirst=True)       # E: Unexpected keyword argument "batchfirst"
nn.GRU(3, 4, proj_size=2)            # E: Unexpected keyword argument "proj_size"
nn.Dropout(prob=0.5)                 # E: Unexpected keyword argument "prob"
flambeau.save(net.state_dict())      # E: Missing positional argument
flambeau.save(net.state_dict(), 3)   # E: Argument 2 to "save" has incompatible type "int"
net.load_state_dict("net.pt")        # E: Argument 1 to "load_state_dict"
layer("x")                           # E: has incompatible type "str"
net(x, depp=True)                    # E: Unexpected keyword argument "depp"
optimizer.zero_gard()                # E: "SGD" has no attribute "zero_gard"
optimizer.step(1)                    # E: No overload variant of "step"
flambeau.ones(2, dtyp=None)          # E: "dtyp"
flambeau.arange(3).reshap(3)         # E: "Tensor" has no attribute "reshap"
F.crossentropy(x, x)                 # E: Module has no attribute "crossentropy"
nn.Conv3D(1, 2, 3)                   # E: Module has no attribute "Conv3D"
nn.Conv2d(1, 2)                      # E: Missing positional argument "kernel_size"
nn.Conv2d(1, 2, 3, strides=2)        # E: Unexpected keyword argument "strides"
nn.Dropout(p="half")                 # E: "p" to "Dropout" has incompatible type "str"
F.softmax(x, axes=1)                 # E: Unexpected keyword argument "axes"
layer(x, x)                          # E: Too many arguments
net()                                # E: Missing positional argument "x"
flambeau.optim.SGD(lr=0.1)           # E: Missing positional argument "params"
flambeau.optim.Adam(net.parameters(), learning_rate=1)  # E: Unexpected keyword argument "learning_rate"
x.shape[0].item()                    # E: "int" has no attribute "item"
x.max(1).vals                        # E: has no attribute "vals"
flambeau.linalg.svd(x).U2            # E: has no attribute "U2"
DataLoader(TensorDataset(x), batchsize=2)  # E: Unexpected keyword argument "batchsize"
fast(x, 2)                           # E: Too many arguments
evaluate("x")                        # E: Argument 1 to "evaluate" has incompatible type "str"
x.backward(retain_grahp=True)        # E: Unexpected keyword argument "retain_grahp"
x.to("cpu", non_blocking="yes")      # E: "to" of "Tensor"
x.reshape(2).numppy()                # E: "Tensor" has no attribute "numppy"
x.permute("a")                       # E: "permute" of "Tensor"
x.shape.numel().item()               # E: "int" has no attribute "item"
x.size(0).size()                     # E: "int" has no attribute "size"
x.topk(1).value                      # E: has no attribute "value"
x.sort().idx                         # E: has no attribute "idx"
x.requires_grad_("no", 1)            # E: Too many arguments for "requires_grad_"
x.squeeze(dims=0)                    # E: "squeeze" of "Tensor"
x.softmax()                          # E: "softmax" of "Tensor"
flambeau.cat(x, axes=1)              # E: "axes"
flambeau.stack([x, x], dim="1")      # E: "dim" to "stack" has incompatible type "str"
flambeau.linspace(0, 1)              # E: "linspace"
flambeau.manual_seed("zero")         # E: "manual_seed" has incompatible type "str"
flambeau.where(x > 0, x, y=x)        # E: "where"
flambeau.matmul(x)                   # E: Missing positional argument "other" in call to "matmul"
flambeau.zeros(2, dtype="float32")   # E: "zeros"
flambeau.eye("3")                    # E: "eye"
flambeau.linalg.nrom(x)              # E: Module has no attribute "nrom"
flambeau.fft.fft(x, nn=3)            # E: Unexpected keyword argument "nn"
F.cross_entropy(x, x, reductoin="sum")  # E: Unexpected keyword argument "reductoin"
F.conv2d(x, x, strides=2)            # E: Unexpected keyword argument "strides"
F.dropout(x, p="0.5")                # E: "p" to "dropout" has incompatible type "str"
F.pad(x)                             # E: Missing positional argument "pad" in call to "pad"
F.interpolate(x, scale=2)            # E: Unexpected keyword argument "scale"
nn.Embedding(10)                     # E: Missing positional argument "embedding_dim"
nn.BatchNorm2d("8")                  # E: Argument 1 to "BatchNorm2d" has incompatible type "str"
nn.CrossEntropyLoss(weights=x)       # E: Unexpected keyword argument "weights"
nn.MultiheadAttention(8)             # E: Missing positional argument "num_heads"
conv.weight.sum(axis=0, keepdims="a")  # E: "sum" of "Tensor"
conv.kernel_size.item()              # E: has no attribute "item"
conv(x, x)                           # E: Too many arguments
layer.load_state_dict()              # E: Missing positional argument "state_dict"
layer.register_buffer(x, "name")     # E: "register_buffer" of "MemberMethods" has incompatible type "Tensor"
layer.parameters().numel()           # E: has no attribute "numel"
nn.init.xavier_normal_(x, gian=1)    # E: Unexpected keyword argument "gian"
nn.utils.clip_grad_norm_(layer.parameters())  # E: Missing positional argument "max_norm"
optimizer.param_groups.lr            # E: has no attribute "lr"
flambeau.optim.SGD(layer.parameters(), momentums=0.9)  # E: Unexpected keyword argument "momentums"
flambeau.optim.lr_scheduler.StepLR(optimizer)  # E: Missing positional argument "step_size"
flambeau.optim.lr_scheduler.CosineAnnealingLR(optimizer, Tmax=3)  # E: Unexpected keyword argument "Tmax"
DataLoader(TensorDataset(x), shufle=True)  # E: Unexpected keyword argument "shufle"
DataLoader(3)                        # E: Argument 1 to "DataLoader" has incompatible type "int"
random_split(TensorDataset(x))       # E: Missing positional argument "lengths"
flambeau.save()                      # E: Missing positional argument
flambeau.autograd.grad(x)            # E: Too few arguments
flambeau.distributions.Normal(0.0).log_probs(x)  # E: "Normal"
flambeau.compile(layer, fulgraph=True)  # E: "fulgraph"
flambeau.rand("3")                   # E: "rand"
flambeau.from_numpy([1.0, 2.0])      # E: "from_numpy" has incompatible type
flambeau.randint(0, 10)              # E: "randint"
flambeau.cuda.is_availabel()         # E: Module has no attribute "is_availabel"
x.view("4", 3)                       # E: "view" of "Tensor"
x.expand("4")                        # E: "expand" of "Tensor"
nn.Sequential(layer, "relu")         # E: Argument 2 to "Sequential" has incompatible type "str"
nn.LSTM(2, 3)(x)[0].backwards()      # E: "Tensor" has no attribute "backwards"
net.to(dtype="float")                # E: "to" of
flambeau.arange("3")                 # E: No overload variant of "arange"
x.float("a")                         # E: Argument 1 to "float" of "Tensor" has incompatible type "str"
x.type(3)                            # E: No overload variant of "type"
x.scatter(0, x)                      # E: No overload variant of "scatter"
nn.init.normal_(x, stdev=0.1)        # E: Unexpected keyword argument "stdev"
flambeau.Tensor.meen                 # E: has no attribute "meen"
layer.wieght.shape                   # E: "NoSuchAttribute" has no attribute "shape"
nn.Linear(layer.out_feature, 2)      # E: has incompatible type "NoSuchAttribute"
nn.ModuleList([net]).appends(net)    # E: "NoSuchAttribute" not callable
net.paramters()                      # E: "Tensor" not callable
net.layre(x)                         # E: "Tensor" not callable
nn.Linear(net.hiden, 2)              # E: has incompatible type "Tensor | Any"
flambeau.utils.checkpont             # E: Module has no attribute "checkpont"
flambeau.utils.checkpoint.checkpoint()  # E: Missing positional argument "function"
flambeau.distributed.all_reduze(x)   # E: Module has no attribute "all_reduze"
flambeau.distributed.all_reduce()    # E: Missing positional argument "tensor"
flambeau.hub.load_state_dict("x")    # E: Module has no attribute "load_state_dict"
flambeau.onnx.exprot(net, x)         # E: Module has no attribute "exprot"
flambeau.multiprocessing.spwan(fast)  # E: Module has no attribute "spwan"
flambeau.maximum(x, 0)               # E: Argument 2 to "maximum" has incompatible type "int"
x.scatter_(0, x, "1")                # E: "scatter_" of "Tensor"
x.squeeze_(dims=1)                   # E: "squeeze_" of "Tensor"
x.index_add_(0, x)                   # E: "index_add_" of "Tensor"
flambeau.relu_(x, True)              # E: Too many arguments for "relu_"
x.item().backward()                  # E: has no attribute "backward"
reveal_type(flambeau.distributions.Normal(0.0, 1.0).log_prob(x))  # T: Tensor
reveal_type(nn.GRU(2, 3)(x)[0])      # T: Tensor
reveal_type(nn.ZeroPad2d(1)(x))      # T: Tensor
reveal_type(x.permute((1, 0)))       # T: Tensor
reveal_type(fast(x))                 # T: Tensor
reveal_type(evaluate(x))             # T: float
reveal_type(flambeau.compile(net))   # T: Net
reveal_type(optimizer.step())        # T: None
reveal_type(optimizer.step(lambda: 1.0))  # T: float
reveal_type(nn.Sequential(layer)[0])  # T: Module
reveal_type(nn.Sequential(layer)[:1])  # T: Sequential
reveal_type(next(iter(nn.ModuleList([layer]))))  # T: Module
reveal_type(net.state_dict())        # T: dict[str, Any]
reveal_type(TensorDataset(x)[0][0])  # T: Tensor
reveal_type(F.max_pool2d(x, 2))      # T: Tensor
reveal_type(F.max_pool2d(x, 2, return_indices=True)[1])  # T: Tensor
reveal_type(layer.weight.data)       # T: Tensor
reveal_type(x.shape[0])              # T: int
reveal_type(x.shape[:1])             # T: Size
reveal_type(x.device)                # T: device
reveal_type(x.dtype.is_floating_point)  # T: bool
reveal_type(flambeau.randn(2))       # T: Tensor
reveal_type(x + 1)                   # T: Tensor
reveal_type(1 - x)                   # T: Tensor
reveal_type(2 / x / 2)            # T: Tensor
reveal_type(x == x)                  # T: Tensor
reveal_type(x.mean())                # T: Tensor
reveal_type(x.add_(1))               # T: Tensor
reveal_type(x @ x)                   # T: Tensor
reveal_type(x.max(0).indices)        # T: Tensor
reveal_type(x.max())                 # T: Tensor
reveal_type(flambeau.linalg.svd(x).S)  # T: Tensor
reveal_type(F.relu(x))               # T: Tensor
reveal_type(F.cross_entropy(x, x))   # T: Tensor
reveal_type(layer(x))                # T: Tensor
reveal_type(net(x))                  # T: Tensor
reveal_type(layer.weight)            # T: Parameter
reveal_type(nn.Conv2d(1, 2, 3).weight)  # T: Parameter
reveal_type(x.dtype)                 # T: dtype
reveal_type(x.shape)                 # T: Size
reveal_type(x.size(0))               # T: int
reveal_type(x.requires_grad)         # T: bool
"""


WELL_TYPED = Path(__file__).with_name("well_typed.py")
KINDS = Path(__file__).with_name("well_typed_kinds.py")
SPACES = """nn nn.utils nn.utils.rnn nn.utils.parametrize nn.utils.parametrizations nn.utils.prune nn.init nn.functional nn.parameter
    optim optim.lr_scheduler optim.swa_utils utils.data utils.checkpoint autograd autograd.functional autograd.graph cuda amp
    distributions func fx jit random linalg fft special testing backends.cudnn multiprocessing hub profiler onnx compiler"""
NAMES = ["flambeau", "torch"]  # the second as the shim gives it


def written(text: str, name: str, tmp_path: Path, script: str = "script") -> str:
    """Write the script for the package of that name, and say where its packages are."""
    (tmp_path / f"{script}.py").write_text(re.sub(r"\bflambeau\b", name, text))
    home = Path(flambeau.__file__).resolve().parent.parent
    assert (home / "flambeau-stubs" / "py.typed").is_file(), "the stubs are not installed beside the package"
    packages = tmp_path / "packages"
    if name == "torch" and not packages.exists():
        packages.mkdir()
        shim.install(("torch",), packages)
    return os.pathsep.join([str(packages), str(home)])


def by_mypy(name: str, tmp_path: Path, **texts: str) -> dict[str, dict[int, str]]:
    """What mypy says of these scripts, all in one call: it takes most of its time for the packages."""
    scripts = []
    for script, text in texts.items():
        path = written(text, name, tmp_path, script)
        scripts.append(f"{script}.py")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file=",
        "--no-implicit-reexport",
        "--cache-dir",
        str(tmp_path / "cache"),
    ]
    command += scripts
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    said: dict[str, dict[int, str]] = {script: {} for script in texts}
    for script, number, kind, message in re.findall(r"^(\w+)\.py:(\d+): (error|note): (.*)$", done.stdout, re.M):
        if kind == "error" or message.startswith("Revealed"):
            of = said[script]
            of[int(number)] = of.get(int(number), "") + message
    assert any(said.values()) or done.returncode == 0, done.stdout + done.stderr
    return said


def public_names() -> str:
    """A script that names every public class and function."""
    lines = []
    for place in SPACES.split():
        home = importlib.import_module(f"flambeau.{place}")
        lines.append(f"import flambeau.{place}")
        for name in sorted(getattr(home, "__all__", vars(home))):
            if name == "Tensor" or name.startswith("explain_"):  # what a module needs itself
                continue
            it = getattr(home, name, None)
            if (
                name[0] != "_"
                and (inspect.isclass(it) or inspect.isfunction(it))
                and it.__module__.startswith("flambeau")
            ):
                lines.append(f"flambeau.{place}.{name}")
    return "\n".join(lines)


@pytest.mark.parametrize("name", NAMES)
def test_a_users_script(name: str, tmp_path: Path) -> None:
    """The errors that are planted in it are found; of right code nothing is said."""
    both = by_mypy(
        name, tmp_path, planted=SCRIPT, right=WELL_TYPED.read_text(), kinds=KINDS.read_text(), names=public_names()
    )
    said, wrong = both["planted"], []
    for number, line in enumerate(SCRIPT.splitlines(), 1):
        _, error, expected = line.partition("# E: ")
        _, shown, kind = line.partition("# T: ")
        found = said.pop(number, "")
        right = expected in found if error else not found
        if shown:
            right = re.search(rf'"?([\w.]+\.)?{re.escape(kind)}"?$', found)
        if not right:
            wrong.append((line, found))
    assert not wrong
    assert not said
    assert both["right"] == {} == both["kinds"] and both["names"] == {}


def test_every_layer_says_what_it_has() -> None:
    """Of a layer that has no names of the user's, a type checker takes no attribute that is not assigned in its class."""
    known = {get_args(kind)[0] for kind in (*get_args(_unseen.Open), *get_args(_unseen.Closed))}
    ours = {kind for kind in vars(nn).values() if inspect.isclass(kind) and issubclass(kind, nn.Module)}
    numbered = {nn.RNNBase, nn.RNN, nn.LSTM, nn.GRU}  # their weights' names end in the layer's number
    assert ours - known - numbered == {nn.DataParallel}


@pytest.mark.slow
def test_attributes_of_layers(tmp_path: Path) -> None:
    """Whatever a made layer has, a type checker knows."""
    lines, base = ["import flambeau.nn as nn"], set(nn.Module().__dict__)
    tries = ((), (4,), (4, 4), (4, 4, 2), (8, 2, 2), ((1, 2),), (2, (2, 2)), (1, (2, 2)), (4, 10, [2, 5]))
    for kind in sorted((get_args(k)[0] for k in get_args(_unseen.Closed)), key=lambda k: k.__name__):
        made = None
        for args in tries:
            with contextlib.suppress(Exception), warnings.catch_warnings(action="ignore"):
                made = made or kind(*args, **({"output_size": 2} if "Fractional" in kind.__name__ else {}))
        if made is None:
            assert kind.__name__ in ("RNNCellBase", "TransformerEncoder", "TransformerDecoder")
            continue
        lines.append(f"def of_{kind.__name__}(made: nn.{kind.__name__}) -> None:")
        names = {*made.__dict__, *made._parameters, *made._buffers, *made._modules} - base
        lines += [f"    reveal_type(made.{name})" for name in sorted(names) if name.isidentifier()] or ["    pass"]
    said = by_mypy("flambeau", tmp_path, script="\n".join(lines))["script"]
    assert len(said) > 300
    assert [lines[at - 1] for at, kind in said.items() if "NoSuchAttribute" in kind] == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pyright") is None, reason="pyright is not installed")
@pytest.mark.parametrize("name", NAMES)
def test_pyright_finds_the_same(name: str, tmp_path: Path) -> None:
    text = WELL_TYPED.read_text()
    start = text.count("\n")
    written(KINDS.read_text(), name, tmp_path, "kinds")
    path = written(text + SCRIPT, name, tmp_path)
    settings: dict[str, object] = dict.fromkeys(("reportRedeclaration", "reportUnusedExpression"), False)
    settings |= {"include": ["script.py", "kinds.py"], "extraPaths": path.split(os.pathsep)}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = ["pyright", "--outputjson", "--pythonpath", sys.executable]
    done = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout)
    told = [d for d in done["generalDiagnostics"] if d["severity"] in ("error", "warning")]
    assert not [d for d in told if d["file"].endswith("kinds.py")]
    found = {d["range"]["start"]["line"] - start for d in told}
    assert found == {number for number, line in enumerate(SCRIPT.splitlines()) if "# E: " in line}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pyright") is None, reason="pyright is not installed")
def test_the_types_of_public_names_are_known(tmp_path: Path) -> None:
    """Another checker than mypy infers no other type, for 95 of 100 names (pyright's figure for a package with `py.typed`)."""
    home = str(Path(flambeau.__file__).resolve().parent.parent)
    command = [
        "pyright",
        "--pythonpath",
        sys.executable,
        "--verifytypes",
        "flambeau",
        "--ignoreexternal",
        "--outputjson",
    ]
    environment = {**os.environ, "PYTHONPATH": home}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    found = json.loads(done.stdout)["typeCompleteness"]
    assert found["completenessScore"] >= 0.95 and found["exportedSymbolCounts"]["withKnownType"] > 15000
