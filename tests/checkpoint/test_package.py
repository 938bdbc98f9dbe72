"""`torch.package`: archives of code and tensors, written by one library and read by the other; and what both say of mistakes."""

from __future__ import annotations

import importlib
import inspect
import io
import pickle
import re
import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.package

import flambeau as fb
from support.process import cli

LIBRARIES = (torch, fb)
SOURCES = {
    "__init__.py": "from . import nets\n",
    "nets.py": """
        import torch
        from torch import nn
        from .parts import constants

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(3, 2)
                self.register_buffer("steps", torch.arange(4))

            def forward(self, x):
                return self.layer(x) * constants.SCALE

        def double(x):
            return 2 * x
    """,
    "parts/__init__.py": "",
    "parts/constants.py": "import collections\nSCALE = 2\n",
}
EXPORT = """
    import sys
    sys.path.insert(0, sys.argv[1])
    import torch, packaged_nets.nets as nets
    torch.manual_seed(0)
    net = nets.Net()
    with torch.package.PackageExporter(sys.argv[2]) as exporter:
        exporter.intern("packaged_nets.**")
        exporter.save_pickle("model", "net.pkl", {"net": net, "weight": net.layer.weight, "u": torch.ones(2, dtype=torch.uint16)})
        exporter.save_text("model", "note.txt", "words")
    importer = torch.package.PackageImporter(sys.argv[3])
    assert importer.load_pickle("model", "net.pkl")["net"](torch.ones(1, 3)).tolist() == net(torch.ones(1, 3)).tolist()
    assert torch.package.is_from_package(importer.import_module("packaged_nets"))
"""


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A package of Python files that imports torch."""
    folder = tmp_path_factory.mktemp("sources")
    for name, text in SOURCES.items():
        path = folder / "packaged_nets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())
    sys.path.insert(0, str(folder))
    import packaged_nets.nets as module

    yield module
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == "packaged_nets"]:
        del sys.modules[name]


def written(lib: Any, *steps: Callable[[Any], Any], **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    with lib.package.PackageExporter(file, **options) as exporter:
        for step in steps:
            step(exporter)
    file.seek(0)
    return file


def read(lib: Any, *steps: Callable[[Any], Any]) -> Any:
    return lib.package.PackageImporter(written(lib, *steps))


def source(name: str, text: str, **options: Any) -> Callable[[Any], Any]:
    return lambda exporter: exporter.save_source_string(name, text, **options)


def nets_of(exporter: Any) -> None:
    exporter.intern("packaged_nets.**")
    exporter.save_module("packaged_nets")


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_both_directions(nets: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nets.Net()
    theirs, ours, script = tmp_path / "theirs.pt", tmp_path / "ours.pt", tmp_path / "export.py"
    with torch.package.PackageExporter(theirs) as exporter:
        exporter.intern("packaged_nets.**")
        exporter.save_pickle(
            "model", "net.pkl", {"net": net, "weight": net.layer.weight, "u": torch.ones(2, dtype=torch.uint16)}
        )
        exporter.save_text("model", "note.txt", "words")
    script.write_text(textwrap.dedent(EXPORT))
    cli("run", script, Path(nets.__file__).parent.parent, ours, theirs)
    for lib in LIBRARIES:
        for path in (ours, theirs):
            importer = lib.package.PackageImporter(path)
            held = importer.load_pickle("model", "net.pkl")
            assert held["net"](lib.ones(2, 3)).tolist() == net(torch.ones(2, 3)).tolist()
            assert held["net"].layer.weight is held["weight"] and held["u"].dtype is lib.uint16
            assert type(held["net"]).__module__ == importer.id() + ".packaged_nets.nets"
            assert isinstance(held["net"], lib.nn.Module) and lib.package.is_from_package(held["net"])
            assert importer.load_text("model", "note.txt") == "words"
            module = importer.import_module("packaged_nets.nets")
            assert inspect.getsource(module.double) == "def double(x):\n    return 2 * x\n"
            assert inspect.getsource(type(held["net"])) == inspect.getsource(nets.Net)
            assert importer.python_version() == ".".join(map(str, sys.version_info[:3]))
    records = [{n.partition("/")[2]: f.read(n) for n in f.namelist()} for f in map(zipfile.ZipFile, (ours, theirs))]
    for held in records:
        del (
            held[".data/serialization_id"],
            held["model/net.pkl"],
        )  # which texts and tuples a pickle says twice may differ
    assert records[0] == records[1]
    trees = [
        str(lib.package.PackageImporter(theirs).file_structure(exclude=["byteorder", "**/*.py"])) for lib in LIBRARIES
    ]
    assert trees[0] == trees[1] and "note.txt" in trees[0]


def used_mock(attribute: str) -> Callable[[Any], Any]:
    def use(lib: Any) -> None:
        importer = read(
            lib, lambda e: e.mock("numpy.**"), source("p", "from numpy.linalg import inv\nimport numpy.fft as f")
        )
        module = importer.import_module("p")
        assert "MockedObject" in repr(module.f.anything)
        eval(attribute, vars(module))

    return use


def importing(name: str, *steps: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda lib: read(lib, *steps).import_module(name)


MISUSES: dict[str, Callable[[Any], Any]] = {
    "no pattern": lambda lib: written(lib, source("p", "import numpy\nfrom numpy import linalg, array\nimport pytest")),
    "path": lambda lib: written(lib, source("p", "import q"), source("q", "import numpy"), debug=True),
    "path to a broken one": lambda lib: written(
        lib, source("q", "import numpy"), source("p", "import q, numpy"), debug=True
    ),
    "denied": lambda lib: written(lib, lambda e: e.deny("nump*"), source("p", "import numpy, sys")),
    "io": lambda lib: written(lib, source("p", "import io")),
    "extension": lambda lib: written(lib, lambda e: e.save_module("math")),
    "no file": lambda lib: written(lib, lambda e: e.save_module("sys")),
    "syntax": lambda lib: written(lib, source("p", "def (")),
    "relative": lambda lib: written(lib, source("p", "from .. import x")),
    "empty match": lambda lib: written(lib, lambda e: e.mock(["a.*", "b"], exclude="c", allow_empty=False)),
    "excluded": lambda lib: written(lib, lambda e: e.extern("numpy.**", exclude="numpy.fft"), source("p", "import numpy.fft")),
    "order": lambda lib: written(lib, source("p", "import numpy"), lambda e: e.extern("numpy")),
    "twice": lambda lib: written(lib, *[lambda e: e.save_text("p", "x", "y")] * 2),
    "file name": lambda lib: written(lib, lambda e: e.save_text("p", "x/y", "y")),
    "bytes as text": lambda lib: written(lib, lambda e: e.save_text("p", "x", b"y")),
    "module": lambda lib: written(lib, lambda e: e.save_module(io)),
    "missing module": lambda lib: written(lib, lambda e: e.save_module("nothing")),
    "protocol": lambda lib: written(lib, lambda e: e.save_pickle("p", "x", 1, pickle_protocol=2)),
    "mocked class": lambda lib: written(
        lib,
        lambda e: e.mock("packaged_nets.**"),
        lambda e: e.save_pickle("p", "x", sys.modules["packaged_nets.nets"].double),
    ),
    "importer": lambda lib: lib.package.PackageExporter(io.BytesIO(), importer=3),
    "folder": lambda lib: lib.package.PackageExporter("/nowhere/at/all.pt"),
    "glob": lambda lib: lib.package.GlobGroup("a.b**"),
    "no number": lambda lib: lib.package.GlobGroup(3),
    "not listed": importing("p", source("p", "import pytest", dependencies=False), source("q", "import json")),
    "not found": importing("p.q", source("p.r", "", is_package=True), source("s", "import json")),
    "no package": importing("p.q", source("p", "", is_package=False)),
    "no name": lambda lib: read(lib, source("p", "")).load_binary("p", "x"),
    "failing": importing("p", source("p", "1 / 0")),
    "leaves": importing("p.q", source("p.q", "from ... import x", dependencies=False)),
    "missing file": lambda lib: lib.package.PackageImporter("nowhere.pt"),
    "number": lambda lib: lib.package.PackageImporter(3),
    "disallowed": lambda lib: lib.package.PackageImporter(written(lib, source("p", "import json")), lambda name: name != "json"),
    "lambda": lambda lib: lib.package.sys_importer.get_name(MISUSES["lambda"]),
    "abstract": lambda lib: lib.package.Importer(),
    "no importer": lambda lib: lib.package.OrderedImporter().get_name(Path),
    "node": lambda lib: lib.package.PackageExporter(io.BytesIO()).all_paths("p", "q"),
    **{f"mock: {how}": used_mock(how) for how in ("inv(3)", "inv + 1", "inv[0]", "len(inv)", "inv.x", "f.a == 1", "bool(inv)")},
}  # fmt: skip


def told(action: Callable[[Any], Any], lib: Any) -> str:
    with pytest.raises(Exception) as caught:
        action(lib)
    text = re.sub(r"<torch_package_\d+>", "<package>", re.sub(r" at 0x\w+", "", str(caught.value)))
    return f"{type(caught.value).__name__}: {text}"


@pytest.mark.parametrize("name", MISUSES)
def test_misuse(nets: Any, name: str) -> None:
    assert told(MISUSES[name], fb) == told(MISUSES[name], torch)


def test_an_object_of_another_importer(nets: Any) -> None:
    texts = []
    for lib in LIBRARIES:
        importer = read(lib, nets_of)
        own = importer.import_module("packaged_nets.nets").Net
        assert importer.get_name(own) == ("packaged_nets.nets", "Net")
        both = lib.package.OrderedImporter(importer, lib.package.sys_importer)
        assert both.get_name(nets.Net) == both.get_name(own) == ("packaged_nets.nets", "Net")
        pair = []
        for place, obj in ((importer, nets.Net), (lib.package.sys_importer, own)):
            with pytest.raises(lib.package.ObjMismatchError) as caught:
                place.get_name(obj)
            pair.append(str(caught.value).replace(importer.id(), "<package>"))
        texts.append(pair)
    assert texts[0] == texts[1] and "lists 'sys_importer' before the importer for <package>" in texts[0][0]


def test_graph_hooks_and_lists(nets: Any) -> None:
    found = []
    for lib in LIBRARIES:
        log: list[Any] = []
        exporter = lib.package.PackageExporter(io.BytesIO())
        exporter.register_extern_hook(lambda e, name, log=log: log.append(("extern", name)))
        exporter.register_intern_hook(lambda e, name, log=log: log.append(("intern", name)))
        handle = exporter.register_mock_hook(lambda e, name, log=log: log.append(("mock", name)))
        exporter.mock("numpy.**")
        exporter.extern(["json.*", "pytest"], exclude="x")
        nets_of(exporter)
        exporter.save_source_string(
            "p", "import numpy.fft, json.decoder\nfrom packaged_nets import nets, parts\nimport pytest"
        )
        exporter.save_source_string(
            "q.r", 'from . import s\n__import__("numpy")\nimport absent_module, torch_package_importer'
        )
        exporter.save_pickle("model", "x.pkl", [nets.double, lib.float32])
        ids = exporter.get_unique_id(), exporter.get_unique_id()
        if lib is torch:
            handle.remove()
            assert handle.id not in exporter._mock_hooks
        handle.remove()
        exporter.close()
        lists = [getattr(exporter, f"{kind}ed_modules")() for kind in ("intern", "extern", "mock")]
        found.append(
            (
                log,
                ids,
                lists,
                exporter.denied_modules(),
                exporter.dependency_graph_string(),
                exporter.get_rdeps("torch.nn"),
            )
        )
    for theirs, ours in zip(*found, strict=True):
        assert ours == theirs
    assert ("extern", "torch.nn") in found[0][0]
    exporter = fb.package.PackageExporter(io.BytesIO())
    exporter.mock("**")
    for name, text in {"cc": "import numpy", "bb": "import cc, json", "aa": "import bb, cc"}.items():
        exporter.save_source_string(name, text)
    lines = exporter.all_paths("aa", "numpy").splitlines()[3:-1]
    assert sorted(lines) == ['"aa" -> "bb";', '"aa" -> "cc";', '"bb" -> "cc";', '"cc" -> "numpy";']


def test_globs() -> None:
    patterns = ("a.*", "a.**", "a*", "**", "*", "a*.**", "**.b", "a.**.c", "a.b", "", "a.*b*.c", ["b", "a.b"])
    for pattern in patterns:
        for name in ("a", "a.b", "a.b.c", "ab", "ab.c", "", "b", "a.b.b.c", "a.xbx.c", "a+b"):
            groups = [lib.package.GlobGroup(pattern, exclude="a.b.c") for lib in LIBRARIES]
            assert groups[0].matches(name) == groups[1].matches(name), (pattern, name)
            assert str(groups[0]) == repr(groups[1])


class Packs:
    """Says itself how it is packaged."""

    def __reduce_package__(self, exporter: Any) -> Any:
        exporter.save_text("packs", f"{exporter.get_unique_id()}.txt", "kept")
        return restored, ("packs", "0.txt")


def restored(importer: Any, package: str, resource: str) -> list[str]:
    return [importer.load_text(package, resource)]


def test_own_reductions_and_graph_modules(nets: Any) -> None:
    traced = fb.fx.symbolic_trace(fb.nn.Sequential(fb.nn.Linear(2, 2), fb.nn.ReLU()))
    packs = Packs()

    def save(exporter: Any) -> None:
        exporter.extern(__name__)
        exporter.save_pickle("p", "packs", [packs, packs])

    held = read(fb, save).load_pickle("p", "packs")
    assert held == [["kept"], ["kept"]] and held[0] is held[1]
    assert torch.package.PackageImporter(written(fb, save)).load_pickle("p", "packs") == held
    assert fb.package.PackageImporter(written(torch, save)).load_pickle("p", "packs") == held
    again = read(fb, lambda e: e.save_pickle("p", "net", traced, pickle_protocol=4)).load_pickle("p", "net")
    assert again(fb.ones(1, 2)).tolist() == traced(fb.ones(1, 2)).tolist() and again.code == traced.code


def test_packaged_again_and_unpacked(nets: Any, tmp_path: Path) -> None:
    shared = fb.arange(6.0)
    path = tmp_path / "net.pt"

    def save(exporter: Any) -> None:
        nets_of(exporter)
        exporter.save_source_string("here", "import torch_package_importer as i\nTEXT = i.load_text('p', 't')\n")
        exporter.save_text("p", "t", "inside")
        exporter.save_pickle("p", "whole", [shared, shared[1:3]])
        exporter.save_pickle("p", "part", shared[2:])

    path.write_bytes(written(fb, save).getvalue())
    with zipfile.ZipFile(path) as archive:
        assert sum(name.endswith(".storage") for name in archive.namelist()) == 1
        archive.extractall(tmp_path)
    for place in (path, tmp_path / "archive", fb.PyTorchFileReader(str(path))):
        importer = fb.package.PackageImporter(place)
        whole, window = importer.load_pickle("p", "whole")
        whole[1] = 7
        assert window[0] == 7 and importer.load_pickle("p", "part").tolist() == [2, 3, 4, 5]
        assert importer.load_pickle("p", "part", map_location="meta").device.type == "meta"
        assert importer.import_module("here").TEXT == "inside"
    own = importer.import_module("packaged_nets.nets").double
    pickled = written(
        fb,
        lambda e: e.intern("**"),
        lambda e: e.save_pickle("q", "f", own),
        importer=(importer, fb.package.sys_importer),
    )
    assert fb.package.PackageImporter(pickled).load_pickle("q", "f")(4) == 8


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_text("before")
    with pytest.raises(KeyError), fb.package.PackageExporter(path) as exporter:
        exporter.save_text("p", "x", "y")
        raise KeyError
    with pytest.raises(fb.package.PackagingError), fb.package.PackageExporter(path) as exporter:
        exporter.save_source_string("p", "import numpy")
    assert path.read_text() == "before" and len(list(tmp_path.iterdir())) == 1
    exporter = fb.package.PackageExporter(path)
    exporter.close()
    for late in (exporter.close, lambda: exporter.save_text("p", "x", "y"), lambda: exporter.save_module("json")):
        with pytest.raises(AttributeError, match="closed"):
            late()


def changed(records: dict[str, bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    file.seek(0)
    return file


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a/.data/0.storage": b"\0" * 4}, "should have 12 bytes"),
        ({"a/.data/0.storage": None}, "failed locating file .data/0.storage"),
        ({"a/.data/extern_modules": None}, "this is no package; torch.load reads checkpoints"),
        ({"b/other": b""}, "more than one folder"),
        ({"a/p/x": b"\x80\x03(X\x07\x00\x00\x00storageq\x00X\x01\x00\x00\x00atQ."}, "should tell of a storage"),
        ({"a/p/x": b"\x80\x03(X\x0c\x00\x00\x00torch_scripttQ."}, "TorchScript"),
    ],
)  # fmt: skip
def test_damaged(change: dict[str, bytes | None], message: str) -> None:
    archive = zipfile.ZipFile(written(fb, lambda e: e.save_pickle("p", "x", fb.ones(3))))
    records: dict[str, Any] = {"a/" + n.partition("/")[2]: archive.read(n) for n in archive.namelist()} | change
    with pytest.raises(RuntimeError, match=message):
        fb.package.PackageImporter(changed({n: c for n, c in records.items() if c is not None})).load_pickle("p", "x")


def test_a_folder_is_not_left(tmp_path: Path) -> None:
    (tmp_path / "secret.storage").write_bytes(b"\0" * 12)
    archive = zipfile.ZipFile(written(fb, lambda e: e.save_pickle("p", "x", fb.ones(3))))
    archive.extractall(tmp_path)
    pickled = tmp_path / "archive/p/x"
    before = pickled.read_bytes()
    after = before.replace(b"K\x00X\x03\x00\x00\x00cpu", b"X\x0c\x00\x00\x00../../secretX\x03\x00\x00\x00cpu", 1)
    assert after != before
    pickled.write_bytes(after)
    with pytest.raises(RuntimeError, match="failed locating file"):
        fb.package.PackageImporter(tmp_path / "archive").load_pickle("p", "x")


def test_analyze(nets: Any) -> None:
    from flambeau.package.analyze import find_first_use_of_broken_modules, trace_dependencies

    assert "packaged_nets.nets" in trace_dependencies(nets.double, [(1,)])
    with pytest.raises(fb.package.PackagingError) as caught:
        written(fb, source("p", "import q"), source("q", "import numpy"))
    assert find_first_use_of_broken_modules(caught.value) == {"numpy": ["q", "numpy"]}


def _both(name: str, *arguments: Any) -> list[Any]:
    """What torch and flambeau say to the same call of a function of `package`: a result, or an error's type and text."""
    said = []
    for library in LIBRARIES:
        module = importlib.import_module(f"{library.__name__}.package.{name.rpartition('.')[0]}")
        try:
            said.append(getattr(module, name.rpartition(".")[2])(*arguments))
        except Exception as error:
            said.append((type(error).__name__, str(error)))
    return said


@pytest.mark.parametrize(
    ("source", "package"),
    [
        ("__import__('m', globals(), locals(), ['q'], 1)", "p"),
        ("__import__('m', globals(), locals(), ('q',), 2)", "p.r"),
        ("__import__('m', globals(), locals(), ['q'], level)", "p"),
        ("__import__('m', globals(), locals(), [], 1)", "p"),
        ("from . import x", ""),
        ("from .a import x", ""),
        ("from ... import x", "p"),
    ],
)
def test_relative_imports_in_sources(source: str, package: str) -> None:
    theirs, ours = _both("find_file_dependencies.find_files_source_depends_on", source, package)
    assert ours == theirs


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_name_that_no_module_can_be_asked_for(library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fails_on_import.py").write_text("raise ValueError('not here')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    exporter = library.package.PackageExporter(io.BytesIO())
    exporter.save_source_string(
        "m", "from fails_on_import import thing\nimport fails_on_import as f\nfrom os import path\n"
    )
    assert exporter.externed_modules() == ["os.path"]  # nothing is said of what nobody can import
    exporter.close()


@pytest.mark.parametrize("library", LIBRARIES)
def test_readers_of_resources(library: Any) -> None:
    file = io.BytesIO()
    with library.package.PackageExporter(file) as exporter:
        exporter.save_source_string("a.m", "import os\n")
        exporter.save_text("a", "note.txt", "words")
    file.seek(0)
    importer = library.package.PackageImporter(file)
    assert sorted(importer.get_resource_reader("a").contents()) == ["m.py", "note.txt"]
    assert importer.get_resource_reader("nothing") is None
    for name in ("a.m", "os"):
        with pytest.raises(TypeError, match=f"^'{name}' is not a package$"):
            importer.get_resource_reader(name)
    with pytest.raises(ImportError, match="no known parent package"):
        importer.__import__("", {"__package__": ""}, None, ("x",), 1)


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_pickles_and_importers_refuse(library: Any) -> None:
    class Local:
        pass

    exporter = library.package.PackageExporter(io.BytesIO())
    for value in (Local(), lambda: 3):
        with pytest.raises(pickle.PicklingError, match=r"^Can't pickle <.*>: it's not found as .*<locals>"):
            exporter.save_pickle("a", "b.pkl", value)
    with pytest.raises(TypeError, match=r"^3 is not a Importer\. All importers in OrderedImporter must inherit from"):
        library.package.OrderedImporter(3).import_module("os")
