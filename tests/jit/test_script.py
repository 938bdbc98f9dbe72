"""`torch.jit.script`, `trace`, `freeze`, `fork`: Python code that says it is TorchScript's."""

from __future__ import annotations

import copy
import pickle
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any, Dict, List, Optional, Tuple  # noqa: UP035

import pytest
import torch

import flambeau as fb
from flambeau import nn
from flambeau.nn import functional as F

pytestmark = [
    pytest.mark.filterwarnings("ignore:torch.jit. there is no TorchScript:UserWarning"),
    pytest.mark.filterwarnings("ignore:.torch.jit.:DeprecationWarning"),  # torch of its own
]


def adds_one(x):  # type: ignore[no-untyped-def]
    return x + 1


def agreed_error(code: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as caught:
        code()
    return caught.value


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_buffer("scale", fb.full((4,), 2.0))
        self.unused = nn.Linear(2, 2)
        self.act = self.activation
        self.times = 3

    def activation(self, x: fb.Tensor) -> fb.Tensor:
        return x * x.sigmoid() + self.bias_like()

    def bias_like(self) -> fb.Tensor:
        return self.scale * 0.5

    def forward(self, x: fb.Tensor, n: int = 1) -> fb.Tensor:
        return F.dropout(self.act(self.linear(x)) * self.scale, 0.5, self.training) * self.times * n

    @fb.jit.export
    def other(self, x: fb.Tensor) -> fb.Tensor:
        return self.linear(x)


def network() -> nn.Module:
    fb.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), Block())


def test_a_function_runs_and_has_gradients() -> None:
    @fb.jit.script
    def swish(x: fb.Tensor, beta: float = 1.0) -> fb.Tensor:
        """Swish."""
        return x * (beta * x).sigmoid()

    assert isinstance(swish, fb.jit.ScriptFunction) and swish.name == "swish" and swish.__doc__ == "Swish."
    assert "def swish" in swish.code
    x = fb.randn(5, dtype=fb.float64, requires_grad=True)
    assert fb.autograd.gradcheck(swish, (x,)) and fb.autograd.gradgradcheck(swish, (x,))
    assert fb.equal(fb.compile(swish)(x), swish(x)) and fb.jit.script(swish) is swish
    assert not hasattr(swish, "graph")
    with pytest.raises(AttributeError, match="no TorchScript graph"):
        swish.graph  # noqa: B018


def test_a_module_shares_tensors_and_has_its_own_mode() -> None:
    model = network()
    scripted = fb.jit.script(model)
    assert isinstance(scripted, fb.jit.RecursiveScriptModule) and isinstance(scripted[2], fb.jit.ScriptModule)
    assert scripted.original_name == "Sequential" and list(scripted.state_dict()) == list(model.state_dict())
    assert all(p is q for p, q in zip(scripted.parameters(), model.parameters(), strict=True))
    scripted.eval()
    assert model.training and model[2].training and not scripted[2].training
    x = fb.randn(5, 3)
    assert fb.equal(scripted(x), model.eval()(x)) and fb.equal(
        scripted[2].other(x @ fb.ones(3, 4)), model[2].other(x @ fb.ones(3, 4))
    )
    scripted[2].scale = fb.zeros(4)  # a bound method that the module holds asks the scripted module, not the first one
    assert not scripted(x).any() and model(x).any()
    assert fb.jit.script(scripted) is scripted


def test_printed_as_torch_prints_it() -> None:
    import torch

    def build(t):  # a module of either library
        return t.nn.Sequential(t.nn.Linear(2, 3), t.nn.Sequential(t.nn.ReLU()))

    assert repr(fb.jit.script(build(fb))) == repr(torch.jit.script(build(torch)))
    ours, theirs = (t.jit.trace(build(t), t.ones(1, 2)) for t in (fb, torch))
    assert repr(ours) == repr(theirs) and isinstance(ours, fb.jit.TopLevelTracedModule)


def test_copies_and_pickles() -> None:
    scripted = fb.jit.script(network()).eval()
    x = fb.randn(5, 3)
    copied = copy.deepcopy(scripted)
    assert fb.equal(copied(x), scripted(x)) and isinstance(copied, fb.jit.ScriptModule)
    copied.train()[0].weight.data.zero_()
    assert not scripted.training and scripted[0].weight.any()
    shallow = copy.copy(scripted)
    assert shallow[0] is scripted[0] and shallow._modules is not scripted._modules


@pytest.mark.parametrize("made", [lambda t: t.jit.script(t.nn.Linear(2, 2)), lambda t: t.jit.script(adds_one)])
def test_what_is_scripted_is_not_pickled(made: Callable[[Any], Any]) -> None:
    errors = [agreed_error(lambda t=t: pickle.dumps(made(t))) for t in (torch, fb)]
    assert type(errors[0]) is type(errors[1])
    theirs = re.sub(r"___torch_mangle_\d+\.", "", str(errors[0]))  # a class that was compiled before
    assert str(errors[1]).replace("flambeau", "torch").startswith(theirs) and "save(file)" in str(errors[1])


def test_a_typed_attribute_is_its_value_once_scripted() -> None:
    for t in (torch, fb):
        layer = t.nn.Linear(1, 1)
        layer.rates = t.jit.Attribute([0.5], list[float])
        assert isinstance(layer.rates, t.jit.Attribute) and t.jit.script(layer).rates == [0.5]


def test_what_is_a_script_module_by_birth_prints_as_a_module() -> None:
    def one(t: Any) -> Any:
        class Own(t.jit.ScriptModule):  # type: ignore[misc, name-defined]
            pass

        return Own()

    assert repr(one(fb)) == repr(one(torch)) == "Own()"


def test_strict_fusion_says_that_it_does_nothing() -> None:
    for t in (torch, fb):
        with pytest.warns(UserWarning, match="^Only works in script mode$"), t.jit.strict_fusion():
            pass


def test_hooks_and_training() -> None:
    model = network()
    seen: list[str] = []
    model[0].register_forward_hook(lambda m, i, o: seen.append("first"))
    scripted = fb.jit.script(model)
    scripted[2].register_forward_hook(lambda m, i, o: seen.append("second"))
    optimizer = fb.optim.SGD(scripted.parameters(), 0.1)
    before = model[0].weight.clone()
    scripted(fb.randn(5, 3)).sum().backward()
    optimizer.step()
    assert seen == ["first", "second"] and not fb.equal(before, model[0].weight)


def test_what_is_not_scripted() -> None:
    for wrong in (3, "x", len):
        with pytest.raises(TypeError, match="is a built-in class"):
            fb.jit.script(wrong)
    with pytest.raises(RuntimeError, match="cannot be compiled since it inherits from"):
        fb.jit.script(nn.Linear)
    with pytest.raises(RuntimeError, match="expected def but found Import"):
        fb.jit.CompilationUnit("import os\n")
    with pytest.raises(NotImplementedError, match="_get_trace_graph"):
        fb.jit._get_trace_graph(nn.Linear(2, 2), (fb.ones(1, 2),))


def test_trace_runs_the_code_and_checks_the_result() -> None:
    with pytest.warns(fb.jit.TracerWarning):
        traced = fb.jit.trace(lambda x: x * 2 if x.sum() > 0 else x, fb.ones(2))
    assert traced(fb.ones(2)).tolist() == [2, 2] and traced(-fb.ones(2)).tolist() == [-1, -1]
    with pytest.raises(RuntimeError, match="Encountering a dict at the output of the tracer"):
        fb.jit.trace(lambda x: {"a": x}, fb.ones(1))
    assert fb.jit.trace(lambda x: {"a": x}, fb.ones(1), strict=False)(fb.zeros(1))["a"].item() == 0
    with pytest.raises(RuntimeError, match="Only tensors, lists, tuples of tensors"):
        fb.jit.trace(lambda x: 1, fb.ones(1))
    with pytest.raises(ValueError, match="Expected more than 1 value"):
        fb.jit.trace(network(), fb.ones(1, 3))  # BatchNorm with one value
    module = fb.jit.trace_module(Block().eval(), {"forward": fb.ones(1, 4), "other": fb.ones(1, 4)})
    assert module.other(fb.ones(1, 4)).shape == (1, 4)
    assert isinstance(fb.jit.trace(Block().eval().forward, fb.ones(1, 4)), fb.jit.TracedModule)


def test_freeze() -> None:
    scripted = fb.jit.script(network())
    with pytest.raises(RuntimeError, match="only implemented for modules in eval mode"):
        fb.jit.freeze(scripted)
    with pytest.raises(RuntimeError, match="Freezing expects a ScriptModule as input"):
        fb.jit.freeze(network())
    x = fb.randn(2, 3)
    frozen = fb.jit.freeze(scripted.eval())
    assert not frozen(x).requires_grad and fb.equal(frozen(x), scripted(x)) and scripted(x).requires_grad
    assert not fb.jit.optimize_for_inference(scripted)(x).requires_grad
    assert fb.jit.set_fusion_strategy([("DYNAMIC", 3)]) == [("STATIC", 2), ("DYNAMIC", 10)]
    with pytest.raises(ValueError, match="FusionBehavior only supported"):
        fb.jit.set_fusion_strategy([("x", 1)])


def test_fork_and_wait() -> None:
    w = fb.ones(2, requires_grad=True)
    futures = [fb.jit.fork(lambda k: (w * k).sum(), k) for k in range(3)]
    sum(fb.jit.wait(f) for f in futures).backward()
    assert w.grad.tolist() == [3, 3]
    with pytest.raises(ZeroDivisionError):
        fb.jit.wait(fb.jit.fork(lambda: 1 / 0))
    with fb.no_grad():
        assert not fb.jit.fork(lambda: w * 2).wait().requires_grad


def test_isinstance_looks_inside() -> None:
    import torch

    cases = [
        ([1], list[int]), ([1], list[str]), ({1: "a"}, dict[int, str]), ({1: 2}, dict[int, str]), ((1, "a"), tuple[int, str]),
        ((1,), tuple[int, str]), (None, int | None), (1, int | None), ("a", int | None), (1, (str, int)), ([], list[int]),
    ]  # fmt: skip
    for value, kind in cases:
        if not (value == [] and kind == list[int]):  # torch warns of empty containers
            assert fb.jit.isinstance(value, kind) == torch.jit.isinstance(value, kind), (value, kind)
    assert fb.jit.isinstance([], list[int])
    with pytest.raises(RuntimeError, match="Attempted to use list without a contained type"):
        fb.jit.isinstance([1], list)


def test_one_warning_in_a_process_and_names_of_packages() -> None:
    code = (
        "import warnings, flambeau.drop_in as d; d.install(); import torch\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n"
        "    torch.jit.script(torch.nn.ReLU()); torch.jit.script(lambda x: x); torch.jit.trace(torch.relu, torch.ones(1))\n"
        "assert [w.category for w in seen] == [UserWarning] and 'no TorchScript' in str(seen[0].message)\n"
        "from torch._jit_internal import BroadcastingList2, boolean_dispatch, _copy_to_script_wrapper, Future\n"
        "from torch.jit._recursive import concrete_type_store; assert not concrete_type_store.type_store\n"
        "from torch.jit import _overload_method, Final, annotations; from torch.jit.annotations import List\n"
        "from torch.jit._trace import TracerWarning; from torch.jit._script import ScriptModule, RecursiveScriptModule\n"
        "assert torch._C._get_tracing_state() is None and not torch._C._is_tracing()\n"
        "assert torch._C._jit_set_profiling_executor(False) is True and torch._C._jit_set_profiling_executor(True) is False\n"
        "assert torch._C._jit_can_fuse_on_cpu() is False and torch.jit.is_scripting() is torch.jit.is_tracing() is False\n"
        "class Old(torch.jit.ScriptModule):\n"
        "    def __init__(self):\n"
        "        super().__init__(); self.k = torch.jit.Attribute(3, int)\n"
        "    @torch.jit.script_method\n"
        "    def forward(self, x): return x * self.k\n"
        "assert Old()(torch.ones(1)).item() == 3\n"
        "pick = boolean_dispatch('both', 1, False, lambda x, both=False: 'yes', lambda x, both=False: 'no', 'm', 'pick')\n"
        "assert pick(1) == 'no' and pick(1, True) == pick(1, both=True) == 'yes'\n"
        "torch.jit._state.disable(); m = torch.nn.ReLU(); assert torch.jit.script(m) is m\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)


def test_trace_runs_what_it_checks_with() -> None:
    def needs_three(x: fb.Tensor) -> fb.Tensor:
        return x.reshape(3)

    fb.jit.trace(needs_three, fb.ones(3), check_inputs=[fb.ones(1, 3)])
    with pytest.raises(RuntimeError, match="shape"):
        fb.jit.trace(needs_three, fb.ones(3), check_inputs=[fb.ones(2)])
    with pytest.raises(RuntimeError, match="shape"):
        fb.jit.trace_module(nn.Linear(2, 1), {"forward": fb.ones(1, 2)}, check_inputs=[{"forward": fb.ones(1, 3)}])
    fb.jit.trace(needs_three, fb.ones(3), check_trace=False, check_inputs=[fb.ones(2)])


def _times(a: torch.Tensor, p: float = 2) -> torch.Tensor:
    return a * p


def _times_perhaps(a: torch.Tensor, p: Optional[float] = None) -> torch.Tensor:  # noqa: UP045
    return a if p is None else a * p


def _times_first(a: torch.Tensor, p: List[float]) -> torch.Tensor:  # noqa: UP006
    return a * p[0]


def _times_named(a: torch.Tensor, p: Dict[str, float], *, q: Tuple[complex, int]) -> torch.Tensor:  # noqa: UP006
    return a * p["x"] + q[0] * q[1]


def _times_whole(a: torch.Tensor, p: int) -> torch.Tensor:
    return a * p


@pytest.mark.parametrize(
    ("function", "args", "named"),
    [
        (_times, (), {}),
        (_times, (3,), {}),
        (_times, (), {"p": True}),
        (_times_perhaps, (), {}),
        (_times_perhaps, (3,), {}),
        (_times_first, ([1, 2],), {}),
        (_times_first, ((3, 2),), {}),
        (_times_named, ({"x": 2},), {"q": (1, 3)}),
        (_times_whole, (3,), {}),
    ],
)
def test_numbers_have_the_types_of_annotations(function, args, named):  # type: ignore[no-untyped-def]
    theirs = torch.jit.script(function)(torch.tensor([1, 2]), *args, **named)
    ours = fb.jit.script(function)(fb.tensor([1, 2]), *args, **named)
    assert str(ours.dtype).split(".")[-1] == str(theirs.dtype).split(".")[-1]
    assert ours.tolist() == theirs.tolist()


def test_a_tensor_of_one_number_is_a_number_for_annotations():
    for function, value in ((_times, 2), (_times, 2.5), (_times_whole, 2.5), (_times_perhaps, 2)):
        theirs = torch.jit.script(function)(torch.tensor([1, 2]), torch.tensor(value))
        ours = fb.jit.script(function)(fb.tensor([1, 2]), fb.tensor(value))
        assert (ours.tolist(), ours.is_floating_point()) == (theirs.tolist(), theirs.is_floating_point())


VALUES = {
    "if": lambda t, x: x if x.sum() > 0 else -x,
    "assert": lambda t, x: x if bool((x >= 0).all()) else None,
    "float": lambda t, x: x * float(x.max()),
    "item": lambda t, x: x * x[0].item(),
    "int": lambda t, x: x[int(x[1]) :],
    "tolist": lambda t, x: x * x.tolist()[0],
    "numpy": lambda t, x: x * x.numpy().size,
    "complex": lambda t, x: x * complex(x[0]),
    "none": lambda t, x: x[x > 1] * t.ones(1),
}


@pytest.mark.parametrize("name", VALUES)
def test_code_that_asks_for_values_is_told_of(name: str) -> None:
    def told(t: Any) -> list[Any]:
        def code(x: Any) -> Any:
            return VALUES[name](t, x)

        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            t.jit.trace(code, t.arange(4.0))
        kinds = [w for w in seen if issubclass(w.category, t.jit.TracerWarning)]
        return [(str(w.message).partition(" (Here")[0], w.lineno) for w in kinds]

    assert told(fb) == told(torch)
