"""What functions and classes say of themselves as torch's: modules, names, pickles, each beside PyTorch's for all public names."""

import functools
import importlib
import json
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

import flambeau
from flambeau.core.context.homes import written_in
from support.process import run_code

USUAL = (
    "torch torch.nn torch.nn.functional torch.nn.init torch.nn.utils torch.linalg torch.fft torch.special torch.functional torch.optim "
    "torch.optim.lr_scheduler torch.autograd torch.utils.data torch.distributions torch.random torch.serialization torch.func torch.fx "
    "torch.cuda torch.amp torch.signal.windows torch.testing torch.utils.checkpoint torch.nn.modules.module"
).split()
_SEEN = """
import importlib, json, pickle, sys, warnings
warnings.simplefilter("ignore")
import torch
found = {}
def told(it):
    home = getattr(it, "__module__", None)
    if callable(it) and type(home) is str and home.partition(".")[0] in ("torch", "flambeau") and hasattr(it, "__name__"):
        try:
            written = pickle.dumps(it).hex() if type(it).__name__ == "function" or isinstance(it, type) else ""
        except Exception as error:
            written = "! " + str(error)
        return [home, it.__name__, written]
for name in json.loads(sys.stdin.read()):
    try:
        module = importlib.import_module(name)
    except ImportError:
        continue
    found[name] = [module.__name__]
    for public in dir(module):
        if not public.startswith("_"):
            row = told(getattr(module, public, None))
            if row:
                found[name + "." + public] = row
for public in dir(torch.Tensor):
    row = told(getattr(torch.Tensor, public))
    if row and not public.startswith("_"):
        found["torch.Tensor." + public] = row
print(json.dumps(found))
"""
# PyTorch has these in a module that is not here, or under another name there
ELSEWHERE = set(
    "torch.DisableTorchFunction torch.DisableTorchFunctionSubclass torch.ExcludeDispatchKeyGuard torch.eig torch.lobpcg "
    "torch.lstsq torch.matrix_rank torch.parse_schema torch.pca_lowrank torch.quantized_gru torch.quantized_lstm torch.solve "
    "torch.svd_lowrank torch.sym_sqrt torch.symeig torch.to_dlpack torch.unravel_index torch.set_vital "
    "torch.Tensor.storage torch.Tensor.storage_type "
    "torch.functional.pca_lowrank torch.functional.svd_lowrank torch.functional.unravel_index "
    "torch.autograd.kineto_available torch.nn.functional.ScalingType torch.nn.functional.SwizzleType "
    "torch.nn.functional.boolean_dispatch torch.nn.functional.has_torch_function torch.nn.functional.has_torch_function_unary "
    "torch.nn.functional.has_torch_function_variadic torch.nn.functional.threshold torch.nn.utils.clip_grads_with_norm_ "
    "torch.nn.utils.get_total_norm torch.linalg.LinAlgError torch.utils.data.functional_datapipe torch.testing.assert_allclose "
    "torch.testing.make_tensor torch.cuda.manual_seed_all torch.cuda.seed_all".split()
)


@functools.cache
def as_torch():
    """What flambeau says as torch."""
    command = [sys.executable, "-c", "import flambeau.drop_in as d; d.install()\n" + _SEEN]
    done = subprocess.run(command, input=json.dumps(USUAL), capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def found(name):
    """PyTorch's own of this name; None if it has none."""
    parent, _, last = name.rpartition(".")
    owner = torch.Tensor if parent == "torch.Tensor" else importlib.import_module(parent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(owner, last, None)


def public_rows():
    rows = {name: row for name, row in as_torch().items() if len(row) == 3 and name not in ELSEWHERE}
    assert len(rows) > 2000
    return {name: (row, theirs) for name, row in rows.items() if (theirs := found(name)) is not None}


def test_modules_and_names_are_pytorchs():
    differ = {}
    for name, ((home, called, _), theirs) in public_rows().items():
        if name.startswith("torch.Tensor.") and getattr(theirs, "__module__", None) is None:
            continue  # a method in C has no module
        place = getattr(theirs, "__module__", None)
        theirs_too = (place, getattr(theirs, "__name__", None))
        if callable(theirs) and str(place).startswith("torch") and theirs_too[1] and (home, called) != theirs_too:
            differ[name] = (home, called), theirs_too
    assert not differ
    assert {name: row[0] for name, row in as_torch().items() if len(row) == 1 and name != row[0]} == {}


def test_what_is_said_to_be_elsewhere_is():
    held = as_torch()
    assert {
        name for name in ELSEWHERE if name in held and held[name][:2] == [found(name).__module__, found(name).__name__]
    } == set()


def test_pytorch_reads_the_pickles_of_all_public_functions_and_classes():
    differ = {}
    for name, ((_, _, written), theirs) in public_rows().items():
        if not written or not callable(theirs):
            continue
        try:
            read = pickle.loads(bytes.fromhex(written))
        except Exception as error:
            read = error
        if read is not theirs and read != theirs and read is not getattr(theirs, "__wrapped__", None):
            differ[name] = read  # torch._dynamo puts a wrapper in the place of `manual_seed`
    assert differ == {}


def test_pytorchs_pickles_are_read():
    names = [
        f"torch.{name}" for name in "relu matmul einsum get_rng_state no_grad Size save Generator is_tensor cat".split()
    ]
    names += [
        "torch.nn.functional.relu",
        "torch.nn.functional.gelu",
        "torch.linalg.svd",
        "torch.fft.fft",
        "torch.special.erf",
    ]
    names += ["torch.nn.Linear", "torch.optim.Adam", "torch.Tensor.relu", "torch.Tensor.__add__", "torch.Tensor.norm"]
    held = {name: [pickle.dumps(found(name), protocol).hex() for protocol in (2, 4)] for name in names}
    run_code(
        f"""
        import pickle, importlib
        from flambeau import drop_in
        drop_in.install()
        import torch
        for name, written in {held!r}.items():
            parent, _, last = name.rpartition(".")
            owner = torch.Tensor if parent == "torch.Tensor" else importlib.import_module(parent)
            for text in written:
                assert pickle.loads(bytes.fromhex(text)) is getattr(owner, last), name
        """
    )


def test_the_librarys_own_names_are_flambeaus():
    for name in USUAL:
        module = importlib.import_module("flambeau" + name.removeprefix("torch"))
        for public in dir(module):
            it = getattr(module, public, None)
            if callable(it) and not public.startswith("_") and hasattr(it, "__code__"):
                assert not str(it.__module__).startswith("torch"), public
    for own in (
        flambeau.relu,
        flambeau.linalg.svd,
        flambeau.fft.fft,
        flambeau.nn.functional.gelu,
        flambeau.Tensor.relu,
        flambeau.einsum,
    ):
        assert own.__module__.startswith("flambeau")
        assert pickle.loads(pickle.dumps(own)) is own
    assert flambeau.Tensor.__add__.__name__ == "__add__" and flambeau.Tensor.add.__name__ == "add"


def test_every_row_of_the_table_is_of_something():
    from flambeau import drop_in

    lines = Path(drop_in.__file__).with_name("homes.txt").read_text().splitlines()[1:]
    places = [place for line in lines for place in line.split()[1:]]
    assert len(places) > 300 and len(set(places)) == len(places)
    for place in places[:: 1 if len(places) < 100 else 7]:
        module = f"flambeau.{place.rpartition('.')[0]}"
        held = vars(
            importlib.import_module(module.rpartition(".")[0] if place.rpartition(".")[0][:1].isupper() else module)
        )
        last = place.rpartition(".")[2]
        assert any(getattr(it, "__qualname__", None) == last and written_in(it) == module for it in held.values()), (
            place
        )


def test_names_are_taken_back():
    run_code(
        """
        import flambeau
        from flambeau import drop_in
        some = (flambeau.relu, flambeau.nn.Linear, flambeau.nn.Linear.forward, flambeau.manual_seed, flambeau.Tensor.relu)
        before = [it.__module__ for it in some]
        drop_in.install()
        import torch
        assert [it.__module__ for it in some] == ["torch", "torch.nn.modules.linear", "torch.nn.modules.linear", "torch.random", "torch._tensor"]
        assert torch.relu is flambeau.relu and "PyTorch: https://docs.pytorch.org" in str(flambeau.manual_seed.__doc__)
        drop_in.uninstall()
        assert [it.__module__ for it in some] == before
        """
    )


@pytest.mark.slow
def test_the_table_is_current():
    tool = Path(__file__).parents[2] / "tools/homes.py"
    subprocess.run([sys.executable, str(tool), "--check"], check=True, cwd=tool.parent)
