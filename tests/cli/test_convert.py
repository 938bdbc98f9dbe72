"""`flambeau convert` between all formats, read back by torch, safetensors and NumPy; and `inspect --diff`."""

import io
import json
import os
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file, save_model
from typer.testing import CliRunner

from flambeau.checkpoint import load_safetensors, save_safetensors
from flambeau.cli import progress
from flambeau.cli.app import app


def here(*arguments):
    """`flambeau *arguments` within this process: its exit code, what it printed, and what it told on standard error."""
    done = CliRunner().invoke(app, list(map(str, arguments)))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    if done.exit_code:  # within a process the runner prints what sys.exit is given to the standard output
        return done.exit_code, "", done.output
    return done.exit_code, done.stdout, done.stderr


def state():
    torch.manual_seed(0)
    return OrderedDict(
        weight=torch.randn(5, 3),
        turned=torch.randn(4, 6).t(),
        half=torch.randn(3).half(),
        wide=torch.randn(2, 2, dtype=torch.float64),
        steps=torch.tensor(7),
        mask=torch.tensor([True, False, True]),
        empty=torch.zeros(0, 3),
        bytes=torch.arange(5, dtype=torch.uint8),
        waves=torch.randn(3, dtype=torch.complex64),
    )


def read(path):
    """What the formats' own libraries make of a file."""
    if path.is_dir():
        path = path / "model.safetensors.index.json"
    if path.suffix == ".json":
        names = json.loads(path.read_text())["weight_map"]
        found = {}
        for name, file in names.items():
            with safe_open(path.parent / file, "pt") as opened:
                found[name] = opened.get_tensor(name)
        return found
    if path.suffix == ".safetensors":
        return load_file(path)
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    return torch.load(path, weights_only=True)


def same(found, expected):
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert found[name].dtype is tensor.dtype and found[name].shape == tensor.shape, name
        assert torch.equal(found[name], tensor), name


def test_every_format_to_every_other(tmp_path):
    expected = state()
    torch.save(expected, tmp_path / "zip.pth")
    torch.save(expected, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file({name: tensor.contiguous() for name, tensor in expected.items()}, tmp_path / "one.safetensors")
    np.savez(tmp_path / "a.npz", **{name: tensor.numpy() for name, tensor in expected.items()})
    assert here("convert", tmp_path / "zip.pth", tmp_path / "many", "--max-shard-size", "100")[0] == 0
    assert len(list((tmp_path / "many").glob("model-0000*-of-0000*.safetensors"))) > 2
    for source in ("zip.pth", "old.pth", "one.safetensors", "a.npz", "many", "many/model.safetensors.index.json"):
        for i, dest in enumerate(
            ("x.pth", "y.bin", "x.safetensors", "x.npz", "folder", "new/w.safetensors.index.json")
        ):
            target = tmp_path / f"{source.replace('/', '-')}-to" / dest
            target.parent.mkdir(exist_ok=True, parents=True)
            options = ["--legacy"] if dest == "y.bin" else ["--max-shard-size", "0.1KB"] if i > 3 else []
            code, out, err = here("convert", tmp_path / source, target, *options)
            assert code == 0, err
            assert err == "" and out
            same(read(target), expected)
            assert zipfile.is_zipfile(target) == (dest in ("x.pth", "x.npz"))
    with safe_open(tmp_path / "many-to" / "x.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_a_folder_where_all_fits_holds_one_file(tmp_path):
    torch.save(state(), tmp_path / "a.pth")
    assert here("convert", tmp_path / "a.pth", tmp_path / "model")[0] == 0
    assert os.listdir(tmp_path / "model") == ["model.safetensors"]
    same(read(tmp_path / "model" / "model.safetensors"), state())
    assert load_safetensors(tmp_path / "model").keys() == state().keys()
    code, _, err = here("convert", tmp_path / "a.pth", tmp_path / "model", "--max-shard-size", "100")
    assert code == 1 and "model.safetensors is there already" in err
    assert os.listdir(tmp_path / "model") == ["model.safetensors"]


def test_bfloat16_and_narrow_floats(tmp_path):
    expected = {"a": torch.randn(4).bfloat16(), "b": torch.randn(4).to(torch.float8_e4m3fn)}
    torch.save(expected, tmp_path / "a.pth")
    assert here("convert", tmp_path / "a.pth", tmp_path / "a.safetensors")[0] == 0
    assert here("convert", tmp_path / "a.safetensors", tmp_path / "b.pth")[0] == 0
    for path in ("a.safetensors", "b.pth"):
        found = read(tmp_path / path)
        assert all(torch.equal(found[name].float(), tensor.float()) for name, tensor in expected.items())
        assert [tensor.dtype for tensor in found.values()] == [torch.bfloat16, torch.float8_e4m3fn]


class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(4, 3)
        self.head = torch.nn.Linear(3, 4, bias=False)
        self.head.weight = self.table.weight


def test_shared_tensors_are_told(tmp_path):
    torch.manual_seed(0)
    model = Tied()
    torch.save(model.state_dict(), tmp_path / "a.pth")
    save_model(model, str(tmp_path / "theirs.safetensors"))
    code, _, err = here("convert", tmp_path / "a.pth", tmp_path / "a.safetensors")
    assert code == 0 and err == "flambeau: table.weight is head.weight, and is written once, by the name head.weight\n"
    for path in ("a", "theirs"):
        with safe_open(tmp_path / f"{path}.safetensors", "pt") as file:
            assert list(file.keys()) == ["head.weight"]
            assert file.metadata()["table.weight"] == "head.weight"
        # back in torch's format both names are there again, in the same memory
        assert here("convert", tmp_path / f"{path}.safetensors", tmp_path / "back.pth")[0] == 0
        back = torch.load(tmp_path / "back.pth")
        same(back, model.state_dict())
        assert back["table.weight"].data_ptr() == back["head.weight"].data_ptr()
    assert "share memory" in here("convert", tmp_path / "a.pth", tmp_path / "a.npz")[2]
    same(read(tmp_path / "a.npz"), model.state_dict())

    whole = torch.arange(6.0)
    torch.save({"a": whole, "b": whole[2:], "c": whole[2:]}, tmp_path / "views.pth")
    code, _, err = here("convert", tmp_path / "views.pth", tmp_path / "views.safetensors")
    assert (
        code == 0 and "c is b, and is written once" in err and "a, b share memory, and each is written by itself" in err
    )
    same(read(tmp_path / "views.safetensors"), {"a": whole, "b": whole[2:]})


def test_what_a_format_cannot_hold_is_refused_by_name(tmp_path):
    content = {"model": {"w": torch.ones(2)}, "epoch": 3, "list": [1]}
    torch.save(content, tmp_path / "a.pth")
    torch.save([torch.ones(2)], tmp_path / "list.pth")
    torch.save({1: torch.ones(2)}, tmp_path / "number.pth")
    torch.save({"s": torch.eye(2).to_sparse()}, tmp_path / "sparse.pth")
    torch.save({"m": torch.empty(2, device="meta")}, tmp_path / "meta.pth")
    torch.save({"h": torch.ones(2, dtype=torch.bfloat16)}, tmp_path / "half.pth")
    torch.save({"z": torch.ones(2, dtype=torch.complex128)}, tmp_path / "complex.pth")
    torch.save({"x.npy": torch.ones(2)}, tmp_path / "npy.pth")
    np.savez(tmp_path / "text.npz", t=np.array(["a"]))
    np.savez(tmp_path / "objects.npz", o=np.array([{}], dtype=object))
    with zipfile.ZipFile(tmp_path / "mixed.npz", "w") as archive:
        archive.writestr("a.txt", "text")
    (tmp_path / "folder.d").mkdir()
    (tmp_path / "torn.npz").write_bytes((tmp_path / "text.npz").read_bytes()[:40])
    before = sorted(os.listdir(tmp_path))
    for source, dest, *rest in [
        ("a.pth", "x.safetensors", "'epoch' (int)", "'list' (list)", "--key model"),
        ("a.pth", "x.npz", "'model' (dict)"),
        ("a.pth", "folder", "'epoch' (int)"),
        ("list.pth", "x.npz", "this is of type list"),
        ("number.pth", "x.safetensors", "int: Tensor"),
        ("sparse.pth", "x.safetensors", "'s'"),
        ("sparse.pth", "x.npz", "'s'"),
        ("meta.pth", "folder", "'m'", "meta device"),
        ("meta.pth", "x.npz", "'m'"),
        ("half.pth", "x.npz", "'h'", "bfloat16"),
        ("complex.pth", "x.safetensors", "'z'", "complex128"),
        ("npy.pth", "x.npz", "'x.npy'"),
        ("text.npz", "x.pth", "'t'"),
        ("objects.npz", "x.pth", "'o'"),
        ("torn.npz", "x.pth", "damaged"),
        ("mixed.npz", "x.pth", "damaged"),
        ("folder.d", "x.pth", "holds no safetensors file"),
        ("a.pth", "folder.1", "name a folder"),
        ("a.pth", "x.txt", ".safetensors, .npz, one of .pt"),
        ("a.pth", "no/x.pth", "the folder"),
    ]:  # fmt: skip
        code, out, err = here("convert", tmp_path / source, tmp_path / dest)
        assert code == 1 and out == "", (source, dest)
        assert err.startswith(f"flambeau: {tmp_path / source}: ") and all(text in err for text in rest), err
    for dest, *options in [
        ("x.pth", "--max-shard-size", "1GB"),
        ("x.npz", "--legacy"),
        ("folder", "--max-shard-size", "many"),
        ("folder", "--max-shard-size", "0"),
        ("x.npz", "--key", "model.v"),
        ("x.npz", "--key", "epoch.v"),
    ]:
        code, _, err = here("convert", tmp_path / "a.pth", tmp_path / dest, *options)
        assert code == 1 and (options[0] in err or "there is no" in err)
    assert sorted(os.listdir(tmp_path)) == before
    assert here("convert", tmp_path / "a.pth", tmp_path / "x.npz", "--key", "model")[0] == 0
    same(read(tmp_path / "x.npz"), content["model"])
    assert here("convert", tmp_path / "a.pth", tmp_path / "b.pth", "--legacy")[0] == 0
    assert torch.load(tmp_path / "b.pth")["epoch"] == 3


def test_a_file_is_known_by_what_it_holds(tmp_path):
    torch.save(state(), tmp_path / "a.npz")
    with open(tmp_path / "b.pth", "wb") as file:
        np.savez_compressed(
            file, **{"a[red]:key:": np.arange(4.0, dtype=">f4").reshape(2, 2).T, "no": np.zeros((0, 2))}
        )
    np.savez(tmp_path / "empty.npz")
    assert here("convert", tmp_path / "a.npz", tmp_path / "a.safetensors")[0] == 0
    same(read(tmp_path / "a.safetensors"), state())
    assert here("convert", tmp_path / "b.pth", tmp_path / "b.safetensors")[0] == 0
    expected = {"a[red]:key:": torch.arange(4.0).reshape(2, 2).t(), "no": torch.zeros(0, 2, dtype=torch.float64)}
    same(read(tmp_path / "b.safetensors"), expected)
    assert "a[red]:key:" in rows(here("inspect", tmp_path / "b.safetensors")[1])
    assert here("convert", tmp_path / "empty.npz", tmp_path / "empty.safetensors")[0] == 0
    assert read(tmp_path / "empty.safetensors") == {}
    assert here("convert", tmp_path / "empty.safetensors", tmp_path / "none")[0] == 0
    assert load_safetensors(tmp_path / "none") == {}
    (tmp_path / "a.safetensors").write_bytes(b"kept")
    torch.save({"epoch": 1}, tmp_path / "a.pth")
    assert here("convert", tmp_path / "a.pth", tmp_path / "a.safetensors")[0] == 1
    assert (tmp_path / "a.safetensors").read_bytes() == b"kept"


def test_metadata(tmp_path):
    save_file(
        {"a": torch.ones(300), "b": torch.ones(300)}, tmp_path / "a.safetensors", {"made": "here", "format": "pt"}
    )
    assert here("convert", tmp_path / "a.safetensors", tmp_path / "many", "--max-shard-size", "1.2KB")[2] == ""
    assert here("convert", tmp_path / "many", tmp_path / "b.safetensors")[2] == ""
    with safe_open(tmp_path / "b.safetensors", "pt") as file:
        assert file.metadata() == {"made": "here", "format": "pt"}
    assert "the metadata made" in here("convert", tmp_path / "many", tmp_path / "b.npz")[2]


def test_an_index_names_its_neighbours_only(tmp_path):
    folder = tmp_path / "model"
    torch.save(state(), tmp_path / "a.pth")
    here("convert", tmp_path / "a.pth", folder, "--max-shard-size", "100")
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    assert content["metadata"]["total_size"] == sum(t.numel() * t.element_size() for t in state().values())
    first = content["weight_map"]["weight"]
    (tmp_path / "outside.safetensors").write_bytes((folder / first).read_bytes())
    for changed, error, text in [
        ({"weight": "../outside.safetensors"}, RuntimeError, "no file beside it"),
        ({"weight": str(tmp_path / "outside.safetensors")}, RuntimeError, "no file beside it"),
        ({"weight": 3}, RuntimeError, "no file beside it"),
        ({"gone": first}, RuntimeError, "'gone' is not in that file"),
        ({"weight": "no.safetensors"}, FileNotFoundError, "no.safetensors"),
        (["weight"], RuntimeError, "weight_map"),
    ]:
        index.write_text(json.dumps({"weight_map": changed}))
        with pytest.raises(error, match=text):
            load_safetensors(index)
    for text in ("", "[]", "[" * 100_000, "{}"):
        index.write_text(text)
        with pytest.raises(RuntimeError, match="should be an index"):
            load_safetensors(folder)
    index.unlink()
    with pytest.raises(RuntimeError, match="name one of them"):
        load_safetensors(folder)


@pytest.mark.parametrize("ours", [False, True])  # ours begin at a multiple of 64 bytes and are mapped without a copy
@pytest.mark.parametrize("options", [{}, {"mmap": True}, {"device": "meta"}])
def test_the_ways_to_read_safetensors(tmp_path, options, ours):
    save_file({name: tensor.contiguous() for name, tensor in state().items()}, tmp_path / "a.safetensors")
    if ours:
        save_safetensors(load_safetensors(tmp_path / "a.safetensors"), tmp_path / "a.safetensors")
        assert (8 + int.from_bytes((tmp_path / "a.safetensors").read_bytes()[:8], "little")) % 64 == 0
    raw = (tmp_path / "a.safetensors").read_bytes()
    found = load_safetensors(tmp_path / "a.safetensors", **options)
    for name, tensor in state().items():
        assert found[name].shape == tensor.shape and str(found[name].dtype) == str(tensor.dtype)
        if not found[name].is_meta:
            assert found[name].tolist() == tensor.tolist()
            found[name].zero_()
    assert (tmp_path / "a.safetensors").read_bytes() == raw
    (tmp_path / "cut.safetensors").write_bytes(raw[:-1])
    with pytest.raises(RuntimeError, match="damaged"):
        load_safetensors(tmp_path / "cut.safetensors", **options)


def test_nothing_is_left_of_shards_that_could_not_be_written(tmp_path, monkeypatch):
    from flambeau.cli import convert
    from flambeau.runtime import files

    torch.save(state(), tmp_path / "a.pth")
    calls, replace = [], files.replace

    def full(path, fill):
        calls.append(path)
        if len(calls) == 3:
            raise files.WriteError(28, "No space left on device", str(path))
        replace(path, fill)

    monkeypatch.setattr(convert.files, "replace", full)
    code, _, err = here("convert", tmp_path / "a.pth", tmp_path / "model", "--max-shard-size", "100")
    assert code == 1 and "No space left" in err and len(calls) == 3
    assert os.listdir(tmp_path) == ["a.pth"]


def rows(output):
    return {line.replace("│", "|").split("|")[1].strip(): [c.strip() for c in line.replace("│", "|").split("|")[2:-1]]
            for line in output.splitlines() if line.startswith("│")}  # fmt: skip


def test_inspect_other_formats(tmp_path):
    torch.save(state(), tmp_path / "a.pth")
    for dest in ("a.npz", "a.safetensors", "many"):
        options = ["--max-shard-size", "100"] if dest == "many" else []
        here("convert", tmp_path / "a.pth", tmp_path / dest, *options)
        code, out, _ = here("inspect", tmp_path / dest)
        found = rows(out)
        assert code == 0 and found["weight"] == ["5x3", "torch.float32", "60"] and len(found) == len(state())


def test_diff(tmp_path):
    old = {"model": state(), "epoch": 1, "lr": 0.1, "gone": torch.ones(2), "kind": torch.ones(3)}
    old["model"]["big"] = torch.tensor([2**62, 5])
    old["model"]["nan"] = torch.tensor([float("nan"), float("inf")])
    old["model"]["s"] = torch.eye(2).to_sparse()
    torch.save(old, tmp_path / "a.pth")
    new = torch.load(tmp_path / "a.pth")
    new["model"]["weight"][2, 1] += 0.5
    new["model"]["big"][0] -= 1
    new["model"]["nan"][1] = 1.0
    new["model"]["mask"][0] = False
    new["model"]["waves"][0] += 3 + 4j
    new["model"]["wide"] = torch.zeros(3)
    new["model"]["s"] = torch.eye(2).mul(3).to_sparse()
    new["kind"] = torch.ones(3, dtype=torch.float64)
    new["epoch"] = 2
    del new["gone"]
    new["extra"] = torch.zeros(2, 3)
    torch.save(new, tmp_path / "b.pth", _use_new_zipfile_serialization=False)
    code, out, _ = here("inspect", tmp_path / "a.pth", "--diff", tmp_path / "b.pth")
    found = rows(out)
    assert code == 0
    assert found == {
        "model.weight": ["changed", "5x3 float32", "5x3 float32", "0.5"],
        "model.big": ["changed", "2 int64", "2 int64", "1"],
        "model.nan": ["changed", "2 float32", "2 float32", "inf"],
        "model.mask": ["changed", "3 bool", "3 bool", "1"],
        "model.waves": ["changed", "3 complex64", "3 complex64", "5"],
        "model.wide": ["changed", "2x2 float64", "3 float32", ""],
        "model.s": ["changed", "2x2 float32", "2x2 float32", "2"],
        "kind": ["changed", "3 float32", "3 float64", "0"],
        "epoch": ["changed", "1 (int)", "2 (int)", ""],
        "gone": ["removed", "2 float32", "", ""],
        "extra": ["added", "", "2x3 float32", ""],
    }
    assert out.splitlines()[-1] == "1 added, 1 removed, 9 changed, 6 equal"
    code, out, _ = here("inspect", tmp_path / "a.pth", "--diff", tmp_path / "a.pth")
    assert out == "0 added, 0 removed, 0 changed, 16 equal\n"


def test_the_bar_appears_after_a_second(monkeypatch, capsys):
    times = iter([0.0, 0.5, 1.5, 1.6])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    with progress.Bar("reading", 100) as bar:
        file = progress.Watched(io.BytesIO(bytes(100)), bar)
        file.read(10)
        assert bar._shown is None
        target = bytearray(30)
        assert file.readinto(target) == 30 and bar._shown is not None
        assert bar._shown.tasks[0].completed == 40 and bar._shown.tasks[0].total == 100
    assert bar._shown.live.is_started is False


def test_help_names_every_command():
    import flambeau.cli

    code, out, _ = here("--help")
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    names |= {group.name for group in app.registered_groups}
    assert code == 0 and names <= set(out.split())
    assert all(f"`{name}`" in flambeau.cli.__doc__.replace("flambeau ", "") for name in names)
