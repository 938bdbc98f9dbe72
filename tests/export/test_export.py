"""`torch.export`: modules as graphs, whose sizes may change."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import flambeau as fb
from flambeau import nn
from flambeau.nn import functional as F


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2)
        self.out, self.unused = nn.Linear(32, 3), nn.Linear(2, 2)
        self.register_buffer("k", fb.ones(3), persistent=False)

    def forward(self, x: fb.Tensor, y: fb.Tensor | None = None, *, z: int = 0) -> dict[str, fb.Tensor]:
        x = F.max_pool2d(self.norm(self.conv(x)).relu_(), 2)
        b = x.shape[0]
        x = self.out(x.view(b, -1))
        wide = (x + fb.arange(b).unsqueeze(1))[:, None].expand(b, 2, 3).reshape(b * 2, 3)
        return {"a": x * self.k + z, "b": wide}


def network() -> nn.Module:
    fb.manual_seed(0)
    return Net().eval()


def test_a_program_is_printed_and_called_as_in_torch() -> None:
    import torch

    ours = fb.export.export(nn.Linear(2, 3), (fb.ones(4, 2),))
    theirs = torch.export.export(torch.nn.Linear(2, 3), (torch.ones(4, 2),))
    assert str(ours.graph_signature) == str(theirs.graph_signature)
    assert ours.graph_signature.user_inputs == theirs.graph_signature.user_inputs
    assert list(ours.state_dict) == list(theirs.state_dict)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert str(ours).startswith("ExportedProgram:\n    class") and "Range constraints: {}" in str(ours)
    with pytest.raises(RuntimeError, match="Unable to call ExportedProgram directly"):
        ours(fb.ones(4, 2))
    for t, program in ((torch, theirs), (fb, ours)):
        with pytest.raises(AssertionError, match=r"Guard failed: input\.size\(\)\[0\] == 4"):
            program.module()(t.ones(5, 2))
        with pytest.raises(ValueError, match="Trying to flatten user inputs with exported input tree spec"):
            program.module()(t.ones(4, 2), 3)
        with pytest.raises(NotImplementedError, match="Calling train"):
            program.module().train()


def test_sizes_that_may_change() -> None:
    net, batch = network(), fb.export.Dim("batch", max=64)
    shapes = {"x": {0: batch}, "z": None}
    program = fb.export.export(net, (fb.randn(2, 1, 8, 8),), {"z": 2}, dynamic_shapes=shapes)
    module = program.module()
    for n in (1, 3, 7):
        x = fb.randn(n, 1, 8, 8)
        made, expected = module(x, z=2), net(x, z=2)
        assert list(made) == ["a", "b"] and all(fb.equal(made[k], expected[k]) for k in made)
    with pytest.raises(AssertionError, match=r"x\.size\(\)\[0\] <= 64"):
        module(fb.randn(65, 1, 8, 8), z=2)
    with pytest.raises(AssertionError, match="z == 2"):
        module(fb.randn(2, 1, 8, 8), z=3)
    assert repr(program.range_constraints) == "{'batch': VR[0, 64]}"
    module(fb.randn(2, 1, 8, 8), z=2)["a"].sum().backward()
    assert net.out.weight.grad is not None


def test_several_sizes_and_ways_to_say_them() -> None:
    class Grid(nn.Module):
        def forward(self, x: fb.Tensor) -> fb.Tensor:
            b, h, w = x.shape
            return x.reshape(b, h * w).sum(0).repeat(2)[: h + w - 1] + fb.ones(h + w - 1) * (h // 2)

    dim = fb.export.Dim
    for shapes in (
        ({0: dim("b"), 1: dim("h"), 2: dim("w")},),
        [(dim.DYNAMIC, dim.AUTO, dim.DYNAMIC)],
        {"x": ("b", "h", "w")},
    ):
        program = fb.export.export(Grid(), (fb.randn(2, 4, 6),), dynamic_shapes=shapes)
        for size in ((1, 4, 2), (3, 8, 5)):
            x = fb.randn(*size)
            fb.testing.assert_close(program.module()(x), Grid()(x))
    same = fb.export.Dim("n")
    program = fb.export.export(
        Applied(lambda x, y: x + y), (fb.ones(2), fb.ones(2)), dynamic_shapes=({0: same}, {0: same})
    )
    with pytest.raises(AssertionError, match=r"size\(\)\[0\] == n, where n is 3; it was 4"):
        program.module()(fb.ones(3), fb.ones(4))
    more = fb.export.AdditionalInputs()
    more.add((fb.ones(5),))
    assert (
        fb.export.export(Applied(lambda x: x * 2), (fb.ones(3),), dynamic_shapes=more).module()(fb.ones(9)).sum() == 18
    )


class Applied(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def test_what_can_not_be_exported() -> None:
    x, dim = fb.randn(3, 4), fb.export.Dim("b")
    for function in (lambda x: x if x.sum() > 0 else -x, lambda x: x * x.sum().item(), lambda x: fb.tensor(x.tolist())):
        with pytest.raises(RuntimeError, match="Could not guard on data-dependent expression"):
            fb.export.export(Applied(function), (x,))
    branches = Applied(lambda x: x * 2 if x.shape[0] < 4 else x.sin())
    assert fb.equal(fb.export.export(branches, (x,)).module()(x), x * 2)
    with pytest.raises(RuntimeError, match="the sizes that dynamic_shapes names can't change"):
        fb.export.export(branches, (x,), dynamic_shapes=[{0: dim}])
    with pytest.raises(RuntimeError, match="can't change"):
        fb.export.export(Applied(lambda x: x * 1.5 ** x.shape[0]), (x,), dynamic_shapes=[{0: dim}])
    with pytest.raises(ValueError, match=r"Expected `mod` to be an instance of `torch\.nn\.Module`"):
        fb.export.export(3, (x,))
    with pytest.raises(RuntimeError, match="Expecting `args` to be a tuple of example positional inputs"):
        fb.export.export(nn.ReLU(), x)
    with pytest.raises(ValueError, match="its top-level keys must be the arg names"):
        fb.export.export(nn.ReLU(), (x,), dynamic_shapes={"q": {0: dim}})
    with pytest.raises(ValueError, match=r"3 not in range \[5, int_oo\]"):
        fb.export.export(nn.ReLU(), (x,), dynamic_shapes=({0: fb.export.Dim("b", min=5)},))
    with pytest.raises(AssertionError, match="Cannot create Dim with inconsistent min=5, max=2"):
        fb.export.Dim("b", min=5, max=2)


def test_the_module_is_left_as_it_was_and_randomness_stays() -> None:
    fb.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    state, random = {k: v.clone() for k, v in net.state_dict().items()}, fb.get_rng_state()
    program = fb.export.export(net, (fb.randn(4, 3).mul(1),))
    x = fb.randn(4, 3)
    fb.set_rng_state(random)
    assert all(fb.equal(v, state[k]) for k, v in net.state_dict().items())
    module = program.module()
    made = [module(x) for _ in range(2)]
    assert not fb.equal(*made) and net[1].num_batches_tracked == 2


def test_saved_and_read_in_another_process(tmp_path: Path) -> None:
    net, x = network(), fb.randn(5, 1, 8, 8)
    program = fb.export.export(net, (x[:2],), dynamic_shapes=({0: fb.export.Dim("b")},))
    fb.export.save(program, tmp_path / "net.pt2", extra_files={"note": "hello"})
    fb.save((x, net(x)["b"].detach(), list(program.state_dict)), tmp_path / "expected.pt")
    code = (
        "import flambeau as fb; extra = {'note': ''}\n"
        "p = fb.export.load('net.pt2', extra_files=extra); x, y, names = fb.load('expected.pt')\n"
        "assert fb.equal(p.module()(x)['b'], y) and list(p.state_dict) == names and extra == {'note': 'hello'}\n"
        "assert fb.equal(fb.export.unflatten(p)(x)['b'], y) and 'k' in p.constants\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True, timeout=120)
    with pytest.raises(RuntimeError, match=r"torch\.export\.load"):
        fb.export.load(io.BytesIO(b"x"))
    with pytest.raises(TypeError, match="must be an instance of 'ExportedProgram', got 'Linear'"):
        fb.export.save(nn.Linear(1, 1), tmp_path / "x")


def test_dataclasses_and_the_module_that_is_a_function() -> None:
    @dataclasses.dataclass
    class Pair:
        left: fb.Tensor
        right: fb.Tensor

    fb.export.register_dataclass(Pair)
    program = fb.export.export(Applied(lambda p: Pair(p.right, p.left * 2)), (Pair(fb.ones(1), fb.zeros(1)),))
    assert program.module()(Pair(fb.ones(1), fb.zeros(1))).right.item() == 2
    assert fb.equal(fb.export(nn.ReLU(), fb.ones(2))(fb.ones(2)), fb.ones(2))
    assert program.run_decompositions() is program and program.validate() is None
    with pytest.raises(NotImplementedError, match="run_decompositions"):
        program.run_decompositions({1: 2})


class Shifted(nn.Module):
    def forward(self, x, y):
        return x + y[1:]


class Paired(nn.Module):
    def forward(self, x, y):
        return fb.cat([x, y]).reshape(3, -1) * x.size(0)


def test_sizes_that_follow_from_others() -> None:
    b, k = fb.export.Dim("b", min=3, max=10), fb.export.Dim("k", min=2)
    shifted = fb.export.export(Shifted(), (fb.ones(4), fb.ones(5)), dynamic_shapes={"x": {0: b}, "y": {0: b + 1}})
    assert shifted.module()(fb.ones(6), fb.ones(7)).shape == (6,)
    assert list(shifted.range_constraints) == ["b", "b + 1"]
    for sizes in ((6, 6), (2, 3), (11, 12)):
        with pytest.raises(AssertionError, match="Guard failed"):
            shifted.module()(*map(fb.ones, sizes))
    paired = fb.export.export(Paired(), (fb.ones(4), fb.ones(8)), dynamic_shapes={"x": {0: k}, "y": {0: 2 * k}})
    file = io.BytesIO()
    fb.export.save(paired, file)
    for program in (paired, fb.export.load(io.BytesIO(file.getvalue()))):
        x, y = fb.arange(5.0), fb.arange(10.0)
        assert fb.equal(program.module()(x, y), Paired()(x, y))
        with pytest.raises(AssertionError, match=r"== 2\*k, where k is 5; it was 11"):
            program.module()(x, fb.ones(11))


def test_derived_sizes_are_pytorchs() -> None:
    def shown(Dim: Any) -> list[Any]:
        b, made = Dim("b", min=2, max=10), []
        for f in (
            lambda: (b, 2 * b, b * 2 + 1, b - 3, 1 + b, 2 * (b + 1), (2 * b + 1).min, (2 * b + 1).max, (2 * b).__name__),
            lambda: [Dim("b"), Dim("b", min=1), Dim("b", min=3, max=5), (3 * b).root],
            lambda: b * b, lambda: b * 1.5, lambda: b * 0, lambda: 3 - b, lambda: b + 1.5, lambda: Dim("1b"),
        ):  # fmt: skip
            try:
                made.append(repr(f()))
            except (AssertionError, NotImplementedError) as error:
                made.append((type(error).__name__, str(error)))
        return made

    assert shown(fb.export.Dim) == shown(torch.export.Dim)


def test_sizes_that_do_not_go_together() -> None:
    class Sum(nn.Module):
        def forward(self, x, y):
            return x + y

    for shapes in (
        {"x": {0: fb.export.Dim("b")}, "y": {0: fb.export.Dim("c")}},
        {"x": {0: fb.export.Dim("b")}, "y": None},
    ):
        with pytest.raises(fb._dynamo.exc.UserError, match=r"Constraints violated \(b"):
            fb.export.export(Sum(), (fb.ones(4), fb.ones(4)), dynamic_shapes=shapes)
    b = fb.export.Dim("b")
    with pytest.raises(fb._dynamo.exc.UserError, match="it is 4 and that it is 3"):
        fb.export.export(Sum(), (fb.ones(4), fb.ones(4)), dynamic_shapes={"x": {0: b}, "y": {0: b + 1}})
    with pytest.raises(fb._dynamo.exc.UserError, match=r"No size of b makes 3\*b equal to 4"):
        fb.export.export(Sum(), (fb.ones(4), fb.ones(4)), dynamic_shapes={"x": {0: 3 * b}, "y": None})


def test_inputs_within_containers_are_named_by_their_keys() -> None:
    found = []
    for lib in (fb, torch):

        class Within(lib.nn.Module):  # type: ignore[misc, name-defined]
            def forward(self, x: Any, d: Any, parts: Any) -> Any:
                return x + d["a"] + d["b"][0] + parts[0] + parts[1]["q"]

        one, two, three, four, five = (lib.tensor([float(n)]) for n in range(1, 6))
        made = lib.export.export(Within(), (one, {"b": [two], "a": three}, [four, {"q": five}]))
        found.append([spec.arg.name for spec in made.graph_signature.input_specs])
        assert made.module()(one, {"b": [two], "a": one * 10}, [four, {"q": five}]).item() == 22
    assert found[0] == found[1]


class Sum(nn.Module):
    def forward(self, a: fb.Tensor, b: fb.Tensor) -> fb.Tensor:
        return a + b


def test_sizes_that_are_only_said_to_change_are_joined_or_fixed() -> None:
    hints = ({0: fb.export.Dim.AUTO, 1: fb.export.Dim.AUTO},) * 2
    program = fb.export.export(Sum(), (fb.ones(4, 3), fb.ones(4, 3)), dynamic_shapes=hints).module()
    assert program(fb.ones(7, 2), fb.ones(7, 2)).shape == (7, 2)
    layer = fb.export.export(
        nn.Linear(4, 3), (fb.ones(2, 4),), dynamic_shapes=({0: fb.export.Dim.DYNAMIC, 1: fb.export.Dim.AUTO},)
    ).module()
    assert layer(fb.ones(5, 4)).shape == (5, 3)
    with pytest.raises(AssertionError, match=r"input\.size\(\)\[1\] == 4"):
        layer(fb.ones(5, 3))
    with pytest.raises(fb.export.dynamic_shapes.ShapeError, match="Constraints violated"):
        fb.export.export(nn.Linear(4, 3), (fb.ones(2, 4),), dynamic_shapes=({1: fb.export.Dim.DYNAMIC},))


def test_the_example_stays_as_it_is_where_code_writes_into_it() -> None:
    class Writes(nn.Module):
        def forward(self, x: fb.Tensor) -> fb.Tensor:
            x.add_(1)
            return x * 2

    example, given = fb.ones(2), fb.ones(3)
    program = fb.export.export(Writes(), (example,), dynamic_shapes=({0: "n"},))
    assert example.tolist() == [1, 1]
    assert program.module()(given).tolist() == [4, 4, 4] and given.tolist() == [2, 2, 2]


def test_shapes_by_tensor_and_by_further_inputs() -> None:
    x, y = fb.ones(2, 4), fb.ones(5, 4)
    shapes = fb.export.ShapesCollection()
    shapes[x] = {0: fb.export.Dim("b")}
    assert list(shapes.dynamic_shapes(nn.Linear(4, 3), (x,))) == ["input"]
    with pytest.raises(AssertionError, match="Shapes assigned to input do not match"):
        shapes[x] = {0: fb.export.Dim("c")}
    inputs = fb.export.AdditionalInputs()
    inputs.add((y,))
    assert str(inputs.dynamic_shapes(nn.Linear(4, 3), (x,))) == "{'input': (DimHint(DYNAMIC), None)}"
    inputs.verify(fb.export.export(nn.Linear(4, 3), (x,), dynamic_shapes=inputs))
    with pytest.raises(AssertionError, match="Guard failed"):
        inputs.verify(fb.export.export(nn.Linear(4, 3), (x,)))


@pytest.mark.parametrize(
    "shapes", [({0: 3},), ({0: 3.5},), {"input": [2]}, [[None, 5]]], ids=["number", "kind", "length", "another number"]
)
def test_shapes_that_are_none_say_what_pytorch_says(shapes: object) -> None:
    said = []
    for lib in (torch, fb):
        with pytest.raises(Exception) as raised:
            lib.export.export(lib.nn.Linear(4, 3), (lib.ones(2, 4),), dynamic_shapes=shapes)
        said.append(str(raised.value).partition("\n")[0].partition(", for ")[0])
    assert said[1] == said[0]


def test_nodes_tell_what_they_gave_for_the_example() -> None:
    program = fb.export.export(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), (fb.ones(2, 4),))
    told = [(n.op, n.meta["val"].shape, n.meta["val"].dtype) for n in program.graph.nodes if "val" in n.meta]
    assert told[0] == ("placeholder", (2, 4), fb.float32)
    assert [one[1] for one in told if one[0] == "call_function"][-1] == (2, 3)
    held = next(n for n in program.graph.nodes if "val" in n.meta).meta["val"]
    assert isinstance(held, fb._subclasses.fake_tensor.FakeTensor) and str(held.device) == "cpu"
    assert "\nGraph signature: \n    # inputs\n    p_0_weight: PARAMETER target='0.weight'\n" in str(program)
    assert str(program).endswith("\n    # outputs\n    relu: USER_OUTPUT\n    \nRange constraints: {}\n")
