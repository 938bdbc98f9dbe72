"""help() of a public function or class names its arguments, gives shapes, errors and an example that runs, and PyTorch's page."""

import copy
import importlib
import inspect
import itertools
import pickle
import pydoc
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import flambeau
from flambeau import nn, optim
from flambeau.core.dispatch import families
from flambeau.core.dispatch.help import Told

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import examples

# of machinery that nobody calls by hand
LEFT = {"args", "kwargs", "options", "sym"}
# methods of devices and of quantized tensors that there are not, which raise, and such as PyTorch does not describe
WITHOUT = set(
    """cuda chalf ipu xpu mtia record_stream reinforce q_scale q_zero_point q_per_channel_scales q_per_channel_zero_points
    q_per_channel_axis int_repr qscheme storage storage_type""".split()
)
PUBLIC = dict(examples.public())
METHODS = dict(examples.methods())
# an example needs the device
OF_DEVICES = {"torch.nn.Module.cuda", "torch.nn.Module.ipu", "torch.nn.Module.mtia", "torch.nn.Module.xpu"}
PARTS = (
    "\nShapes:\n    ",
    "\nRaises:\n    ",
    "\nExample:\n    >>> ",
    "\nPyTorch: https://docs.pytorch.org/docs/stable/",
)


def _arguments(what: object) -> list[str]:
    if inspect.isclass(what):
        if "__init__" not in vars(what):
            return []
        code = inspect.unwrap(what.__init__).__code__
        return list(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])
    parameters = inspect.signature(what).parameters.values()  # type: ignore[arg-type]
    return [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def test_help_is_whole() -> None:
    lacking = []
    for public, what in PUBLIC.items():
        text = inspect.getdoc(what) or ""
        parts = (*PARTS[:-1], "\nPyTorch: none") if public in families._OUR_OWN else PARTS
        lacking += [f"{public}: {part.strip()}" for part in parts if part not in text]
        lacking += [f"{public}: {n}" for n in _arguments(what) if n not in text and n not in LEFT and n[0] != "_"]
    assert not lacking
    assert len(PUBLIC) > 1750


def test_help_of_methods_is_whole() -> None:
    lacking = []
    for public, method in METHODS.items():
        text = inspect.getdoc(method) or ""
        lacking += [f"{public}: {part.strip()}" for part in PARTS[1:] if part not in text and public not in OF_DEVICES]
        lacking += [f"{public}: self"] if "    self: " in text else []
        lacking += [
            f"{public}: {n}"
            for n in _arguments(method)[1:]
            if f"{n}: " not in text and f"`{n}`" not in text and n[0] != "_"
        ]
    assert not lacking
    assert len(METHODS) > 100


def test_methods_that_classes_describe_are_explained() -> None:
    """All but what a derived class of flambeau's own fills in: the rules of the optimizers."""
    rules = {name for name in vars(optim.Adam.__base__) if name[0] != "_"} | {"update"}
    lacking = [
        f"{cls.__name__}.{name}"
        for home in (optim, optim.lr_scheduler, optim.swa_utils, flambeau.distributions, flambeau.utils.data)
        for cls in vars(home).values()
        if inspect.isclass(cls) and cls.__name__[0] != "_" and cls.__module__.startswith(home.__name__)
        for name in dir(cls)
        if name[0] != "_" and inspect.isroutine(method := getattr(cls, name, None)) and inspect.getdoc(method)
        if "PyTorch: " not in inspect.getdoc(method)
        and name not in rules
        and str(getattr(method, "__module__", "")).startswith("flambeau")
    ]
    assert not lacking
    assert (
        "Raises:\n    no error of its own: it warns."
        in flambeau.utils.data.DataLoader.check_worker_number_rationality.__doc__
    )
    assert (
        "data.html#torch.utils.data.distributed.DistributedSampler.set_epoch"
        in flambeau.utils.data.DistributedSampler.set_epoch.__doc__
    )
    assert optim.Adam.step.__doc__.count("\nExample:\n") == 1 and "Optimizer.step.html" not in optim.LBFGS.step.__doc__


def test_an_error_of_each_is_shown() -> None:
    wrong = []
    for names, lines in families.blocks("examples.txt", "== "):
        public = f"torch.{names[0]}"
        if names[0].startswith("Tensor."):
            assert hasattr(flambeau.Tensor, names[0].partition(".")[2]) and examples.TRACEBACK not in lines, names
            continue
        assert public in PUBLIC or public in METHODS, f"{public} is not public: its example is of no use"
        raised = [line.partition(":")[0] for before, line in itertools.pairwise(lines) if before == examples.TRACEBACK]
        family = families.family_of(PUBLIC.get(public) or METHODS[public], public)
        types = {name for error in family.errors for name in error.types} if family else set()
        if len(raised) != ("nothing" not in types) or not types.issuperset(raised):
            wrong.append(f"{names[0]}: {raised} are none of {types}")
        if "unexpected keyword argument" in lines[-1]:
            wrong.append(f"{names[0]}: its only mistake is an argument's name")
    assert not wrong


# What is not called itself, or what has no mistake of its own that is known.
ANOTHERS = {
    "backends.cuda.cuFFTPlanCache", "backends.cuda.cuFFTPlanCacheManager", "cosine_embedding_loss", "distributions.Distribution.cdf",
    "distributions.Distribution.entropy", "distributions.Distribution.perplexity", "distributions.GeneralizedPareto.log_survival_function",
    "export.ExportedProgram", "futures.Future", "fx.Graph", "fx.Node", "hinge_embedding_loss", "kl_div", "library.triton_op",
    "margin_ranking_loss", "multiprocessing.spawn", "nn.LazyLinear", "nn.LinearCrossEntropyLoss", "nn.Module", "nn.Module.forward",
    "nn.Module.set_extra_state", "nn.RNNBase", "nn.RNNCellBase", "nn.functional.linear_cross_entropy",
    "nn.functional.multi_head_attention_forward", "nn.parameter.UninitializedBuffer", "nn.parameter.UninitializedParameter",
    "optim.lr_scheduler.LRScheduler.get_lr", "package.Directory", "package.Importer", "package.OrderedImporter", "poisson_nll_loss",
    "triplet_margin_loss", "utils.data.IterableDataset",
}  # fmt: skip


def test_the_error_shown_is_the_functions_own() -> None:
    anothers = set()
    for names, lines in families.blocks("examples.txt", "== "):
        if examples.TRACEBACK in lines:
            mistake = examples.typed(lines)[-1]
            if not re.search(rf"\b{names[0].rpartition('.')[2]}\b", mistake):
                anothers.add(names[0])
    assert anothers == ANOTHERS


@pytest.mark.parametrize("each", [150, pytest.param(1, marks=pytest.mark.slow)])
def test_examples_give_what_they_say(each: int) -> None:
    """A few by default; all of them are what `python tools/examples.py --check` runs, too."""
    for names, lines in list(families.blocks("examples.txt", "== "))[::each]:
        with flambeau.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            public = f"torch.{names[0]}"
            assert examples.session(public, lines, PUBLIC.get(public) or METHODS.get(public)) == lines, names


def test_examples_in_docstrings() -> None:
    found = {name: lines for name, it in PUBLIC.items() if (lines := examples.of_docstring(it))}
    assert "torch.logaddexp2" in found
    for name, lines in found.items():
        assert examples.session(name, lines, None) == lines, name
        assert inspect.getdoc(PUBLIC[name]).count("\nExample:\n") == 1


def test_methods_have_examples() -> None:
    lacking = set()
    for name, method in vars(flambeau.Tensor).items():
        text = inspect.getdoc(method) or ""
        if not name.startswith("_") and callable(method) and not ("Shapes:" in text and "\nExample:\n    >>> " in text):
            lacking.add(name)
    assert lacking == WITHOUT


def test_every_public_method_and_property_has_a_docstring() -> None:
    named = (
        "nn",
        "optim",
        "optim.lr_scheduler",
        "distributions",
        "utils.data",
        "func",
        "overrides",
        "multiprocessing",
        "hub",
        "package",
    )
    homes = [importlib.import_module(f"flambeau.{name}".rstrip(".")) for name in (*examples.EXPLAINED, *named)]
    classes = {
        it
        for home in homes
        for name in (dir(home) if home is flambeau else getattr(home, "__all__", dir(home)))
        if name[0] != "_" and inspect.isclass(it := getattr(home, name, None))
    }
    bare = [
        f"{cls.__module__}.{cls.__qualname__}.{name}"
        for cls in classes
        if cls.__module__.startswith("flambeau")
        for name, it in vars(cls).items()
        if name[0] != "_"
        and (inspect.isroutine(it) or isinstance(it, property))
        and not inspect.getdoc(getattr(cls, name))
    ]
    assert len(classes) > 300
    assert not bare


def test_some_texts() -> None:
    assert "    end: what is come to where the weight is 1." in flambeau.lerp.__doc__
    assert "    n: the degree." in flambeau.special.hermite_polynomial_he.__doc__
    assert "    in_channels: the input's channels.\n" in nn.Conv2d.__doc__
    assert "input `(N, C_in, H, W)` or `(C_in, H, W)`" in nn.Conv2d.__doc__
    assert "arXiv:1412.6980" in optim.Adam.__doc__
    assert "    scale: how wide the law is, or a factor.\n" in flambeau.distributions.Gumbel.__doc__
    assert "stable/distributions.html#torch.distributions.normal.Normal\n" in flambeau.distributions.Normal.__doc__
    assert "stable/data.html#torch.utils.data.DataLoader\n" in flambeau.utils.data.DataLoader.__doc__
    assert list(inspect.signature(flambeau.permute).parameters) == ["input", "dims"]
    assert "    input: the tensor to compute with." in flambeau.permute.__doc__
    assert list(inspect.signature(flambeau.add).parameters) == ["input", "other", "alpha", "out"]
    assert "torch.Tensor.add.html" in flambeau.Tensor.add.__doc__
    assert inspect.getdoc(flambeau.add) == (
        "`input + alpha * other`, with broadcasting.\n\n"
        "Shapes:\n    shapes that broadcast: sizes, from the last one on, are equal, or one of them is 1 or absent. "
        "The result has the common shape.\n\n"
        "Arguments:\n    input: the tensor to compute with.\n    other: the second operand; a tensor, or a number.\n"
        "    alpha: a factor of the last summand.\n    out: a tensor that gets the result.\n\n"
        "Raises:\n    RuntimeError: the shapes do not broadcast.\n\n"
        "Example:\n    >>> torch.add(torch.tensor([1.0, -2.0, 3.0]), torch.tensor([2.0, 2.0, 3.0]))\n"
        "    tensor([3., 0., 6.])\n    >>> torch.add(torch.ones(2), torch.ones(3))\n    Traceback (most recent call last):\n"
        "    RuntimeError: The size of tensor a (2) must match the size of tensor b (3) at non-singleton dimension 0\n\n"
        "PyTorch: https://docs.pytorch.org/docs/stable/generated/torch.add.html"
    )


def test_a_text_that_is_completed_when_it_is_read() -> None:
    text = Told("own", lambda: "own, and more")
    assert str(text) == f"{text}" == text == "own, and more" and "more" in text and len(text) == 13
    assert text + "!" == "own, and more!" and text.upper().endswith("MORE") and hash(text) == hash("own, and more")
    assert copy.deepcopy(text) == pickle.loads(pickle.dumps(text)) == "own, and more"
    assert "Shapes:" in pydoc.render_doc(flambeau.add) and "Shapes:" in pydoc.render_doc(nn.Linear)
    code = "import sys, flambeau; assert not [n for n in sys.modules if n.endswith(('dispatch.families', 'dispatch.glossary'))]"
    subprocess.run([sys.executable, "-c", code], check=True)


ROWS = {  # losses that give one number for each row: what they take
    "MultiMarginLoss": lambda x: (x, flambeau.tensor([0, 1, 2])),
    "MultiLabelMarginLoss": lambda x: (x, flambeau.zeros(3, 4, dtype=flambeau.int64)),
    "MultiLabelSoftMarginLoss": lambda x: (x, x),
    "CosineEmbeddingLoss": lambda x: (x, x, flambeau.ones(3)),
    "TripletMarginLoss": lambda x: (x, x, x),
    "TripletMarginWithDistanceLoss": lambda x: (x, x, x),
}


def test_the_shape_of_a_loss_is_told_as_it_is() -> None:
    """Those that give as many numbers as elements say so, and those that give one for each row."""
    x = flambeau.rand(3, 4)
    for name, takes in ROWS.items():
        assert getattr(nn, name)(reduction="none")(*takes(x)).shape == (3,), name
        assert "has their shape" not in inspect.getdoc(getattr(nn, name)), name
    same = [n for n in dir(nn) if "has their shape" in (inspect.getdoc(getattr(nn, n)) or "")]
    more = {"GaussianNLLLoss": [flambeau.ones(3, 4)], "MarginRankingLoss": [flambeau.ones(3, 4)]}
    for name in same:
        assert getattr(nn, name)(reduction="none")(x, x, *more.get(name, ())).shape == (3, 4), name
    assert len(same) >= 12
