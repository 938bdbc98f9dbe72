"""What a type checker knows of flambeau: planted errors in a user's script are found, and nothing else is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import flambeau

pytest.importorskip("mypy")
SCRIPT = """\
import flambeau
import flambeau.nn.functional as F
from flambeau import nn

class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x: flambeau.Tensor, deep: bool = False) -> flambeau.Tensor:
        return F.relu(self.layer(x))

x, layer, net = flambeau.randn(2), nn.Linear(2, 3), Net()
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
F.relu(x, inplce=True)               # E: Unexpected keyword argument "inplce"
nn.Linear(2, out_feature=3)          # E: Unexpected keyword argument "out_feature"
nn.Linear("2", 3)                    # E: Argument 1 to "Linear" has incompatible type "str"
layer("x")                           # E: Argument 1 has incompatible type "str"
net(x, depp=True)                    # E: Unexpected keyword argument "depp"
optimizer.zero_gard()                # E: "SGD" has no attribute "zero_gard"
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


def test_a_users_script(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    home = Path(flambeau.__file__).resolve().parent.parent
    assert (home / "flambeau-stubs" / "py.typed").is_file(), "the stubs are not installed beside the package"
    command = [sys.executable, "-m", "mypy", "--config-file=", "--cache-dir", str(tmp_path / "cache"), "script.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(home)}, capture_output=True, text=True
    )
    said: dict[int, str] = {}
    for number, kind, message in re.findall(r"^script\.py:(\d+): (error|note): (.*)$", done.stdout, re.M):
        if kind == "error" or message.startswith("Revealed"):
            said[int(number)] = said.get(int(number), "") + message
    wrong = []
    for number, line in enumerate(SCRIPT.splitlines(), 1):
        _, error, expected = line.partition("# E: ")
        _, shown, kind = line.partition("# T: ")
        found = said.pop(number, "")
        right = expected in found if error else re.search(rf'"([\w.]+\.)?{kind}"$', found) if shown else not found
        if not right:
            wrong.append((line, found))
    assert not wrong, done.stdout + done.stderr
    assert not said
