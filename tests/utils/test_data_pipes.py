"""Data pipes, each program run with both libraries."""

from __future__ import annotations

import importlib
import io
import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import flambeau


def _first(text: str) -> str:
    return text[0]


def _third(number: int) -> int:
    return number % 3


def _none_of_two(number: int) -> int | None:
    return None if number == 2 else number


def _fails(item: Any) -> Any:
    raise ValueError("bad", item)


WORDS = ["a1", "b1", "a2", "b2", "c1", "a3", "a4"]

PROGRAMS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "fork": lambda t, i, m: [list(p) for p in i.IterableWrapper(range(4)).fork(2)],
    "fork of one": lambda t, i, m: type(i.IterableWrapper([1]).fork(1)).__name__,
    "fork of none": lambda t, i, m: i.IterableWrapper([1]).fork(0),
    "fork ahead": lambda t, i, m: list(i.IterableWrapper(range(50)).fork(2, buffer_size=10)[0]),
    "fork unbounded": lambda t, i, m: list(i.IterableWrapper(range(50)).fork(2, buffer_size=-1)[0]),
    "fork copies": lambda t, i, m: [list(p) for p in i.IterableWrapper([[1]]).fork(2, copy="deep")],
    "fork copies how": lambda t, i, m: i.IterableWrapper([[1]]).fork(2, copy="other"),
    "fork pickled": lambda t, i, m: [list(p) for p in pickle.loads(pickle.dumps(i.IterableWrapper([1, 2]).fork(2)))],
    "demux": lambda t, i, m: [list(p) for p in i.IterableWrapper(range(7)).demux(3, _third)],
    "demux drops": lambda t, i, m: [list(p) for p in i.IterableWrapper(range(3)).demux(2, _none_of_two, drop_none=True)],
    "demux of none": lambda t, i, m: [list(p) for p in i.IterableWrapper(range(3)).demux(2, _none_of_two)],
    "demux ahead": lambda t, i, m: list(i.IterableWrapper(range(50)).demux(3, _third, buffer_size=5)[0]),
    "mux": lambda t, i, m: list(i.IterableWrapper(range(3)).mux(i.IterableWrapper([7]), i.IterableWrapper("ab"))),
    "groupby": lambda t, i, m: list(i.IterableWrapper(WORDS).groupby(_first)),
    "groups of two": lambda t, i, m: list(i.IterableWrapper(WORDS).groupby(_first, group_size=2, keep_key=True)),
    "groups of a full buffer": lambda t, i, m: list(i.IterableWrapper(WORDS).groupby(_first, buffer_size=2)),
    "groups too small": lambda t, i, m: list(
        i.IterableWrapper(WORDS).groupby(_first, buffer_size=3, group_size=3, guaranteed_group_size=3)
    ),
    "groups dropped": lambda t, i, m: list(
        i.IterableWrapper(WORDS).groupby(_first, buffer_size=3, group_size=3, drop_remaining=True)
    ),
    "groups too large": lambda t, i, m: i.IterableWrapper(WORDS).groupby(_first, buffer_size=3, group_size=4),
    "sampler": lambda t, i, m: (list(i.Sampler([5, 6, 7])), len(i.Sampler([5]))),
    "sampler of no length": lambda t, i, m: i.Sampler(x for x in "ab"),
    "streams": lambda t, i, m: list(i.IterableWrapper([("a", io.StringIO("abcde"))], False).read_from_stream(2)),
    "decoded": lambda t, i, m: list(
        i.IterableWrapper([("a.txt", io.BytesIO(b"x")), ("b.json", io.BytesIO(b"[1]"))], False).routed_decode()
    ),
    "map shuffled": lambda t, i, m: (t.manual_seed(0), list(m.SequenceWrapper(range(9)).shuffle()), t.rand(1).item())[1:],
    "map shuffled by keys": lambda t, i, m: list(m.SequenceWrapper({"a": 1, "b": 2}).shuffle(indices=["b", "a"]).set_seed(0)),
    "map in batches": lambda t, i, m: list(m.SequenceWrapper(range(7)).batch(3)),
    "map in whole batches": lambda t, i, m: len(m.SequenceWrapper(range(7)).batch(3, drop_last=True)),
    "map beyond": lambda t, i, m: m.SequenceWrapper(range(7)).batch(3)[3],
    "map zip beyond": lambda t, i, m: m.SequenceWrapper([1]).zip(m.SequenceWrapper([2]))[2],
    "map concat of others": lambda t, i, m: m.Concater(3),
    "two at once": lambda t, i, m: list(p.zip(p)) if (p := i.IterableWrapper(range(5))) else None,
    "no length": lambda t, i, m: len(i.IterableWrapper(iter([1])).map(_first)),
    "an error tells": lambda t, i, m: list(i.IterableWrapper([1]).map(_fails).batch(2)),
    "no function": lambda t, i, m: i.IterableWrapper([1]).map(3),
    "too many columns": lambda t, i, m: i.IterableWrapper([(1, 2)]).map(_third, input_col=[0, 1]),
    "two places": lambda t, i, m: i.IterableWrapper([(1, 2)]).map(_third, input_col=0, output_col=[0, 1]),
    "a lambda": lambda t, i, m: list(i.IterableWrapper([1]).map(lambda x: x + 1)),
    "a generator": lambda t, i, m: list(i.IterableWrapper(x for x in "ab")),
    "sharding": lambda t, i, m: _sharded(i),
    "printed": lambda t, i, m: (repr(i.IterableWrapper([1]).map(_third)), str(m.SequenceWrapper([1]))),
    "missing": lambda t, i, m: i.IterableWrapper([1]).nothing,
}  # fmt: skip


def _sharded(pipes: Any) -> Any:
    kinds = pipes.sharding.SHARDING_PRIORITIES
    pipe = pipes.IterableWrapper(range(14)).sharding_filter()
    pipe.apply_sharding(2, 1, kinds.DISTRIBUTED)
    pipe.apply_sharding(3, 1, kinds.MULTIPROCESSING)
    told = [list(pipe), len(pipe)]
    with pytest.raises(RuntimeError, match="cannot mix DEFAULT"):
        pipe.apply_sharding(2, 0)
    return told


def _run(library: Any, program: Callable[[Any, Any, Any], Any]) -> Any:
    pipes = library.utils.data.datapipes
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            result = program(library, pipes.iter, pipes.map)
        except Exception as error:
            result = type(error), [str(arg).replace("flambeau", "torch") for arg in error.args]
    return result, [(one.category, str(one.message)) for one in told]


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str) -> None:
    assert _run(flambeau, PROGRAMS[name]) == _run(torch, PROGRAMS[name])


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r/s").mkdir(parents=True)
    for name in ("r/b.csv", "r/a.txt", "r/s/c.txt", "r/s/d.json"):
        (tmp_path / name).write_text(json.dumps(name))

    def program(t: Any, i: Any, m: Any) -> Any:
        listed = [
            list(i.FileLister("r")),
            list(i.FileLister("r", "*.txt", recursive=True)),
            len(i.FileLister("r", length=3)),
        ]
        listed.append(list(i.IterableWrapper(["r", "r/s"]).list_files(["*.txt", "*.json"], abspath=True)))
        listed += [
            (path, type(file).__name__, file.read()) for path, file in i.IterableWrapper(["r/a.txt"]).open_files("b")
        ]
        for wrong in (
            lambda: i.FileOpener([], mode="q"),
            lambda: i.FileOpener([], mode="b", encoding="utf8"),
            lambda: list(i.FileLister("no")),
        ):
            try:
                wrong()
            except Exception as error:
                listed.append((type(error).__name__, error.args))
        return listed

    assert _run(flambeau, program) == _run(torch, program)


def test_decoders() -> None:
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image.new("RGB", (2, 3), (10, 20, 30)).save(file, "PNG")
    kinds = "l8 rgb8 rgba8 l rgb rgba torchrgb8 torchrgba8 torchrgb torch torchrgba pill pil pilrgb pilrgba".split()

    def program(t: Any, i: Any, m: Any) -> Any:
        decoder = importlib.import_module(f"{t.__name__}.utils.data.datapipes.utils.decoder")
        seen: list[Any] = [
            decoder.basichandlers(end, b"4") for end in "pt txt cls cls2 inx id json jsn TXT d bin".split()
        ]
        for kind in kinds:
            made = decoder.imagehandler(kind)("png", file.getvalue())
            seen.append(
                made.mode
                if hasattr(made, "getpixel")
                else (str(made.dtype).replace("flambeau", "torch"), list(made.shape), made.flatten().tolist())
            )
        seen.append(decoder.imagehandler("rgb")("txt", b""))
        seen.append(decoder.handle_extension("tar.gz", len)("x.tar.gz", b"ab"))
        for wrong in (lambda: decoder.imagehandler("xx"), lambda: decoder.videohandler("txt", b"")):
            try:
                seen.append(wrong())
            except AssertionError as error:
                seen.append(str(error))
        return seen

    assert _run(flambeau, program) == _run(torch, program)


def test_columns_of_frames_are_refused_by_name() -> None:
    pipe = flambeau.utils.data.datapipes.iter.IterableWrapper([[1]]).collate(conversion={"a": sum})
    with pytest.raises(NotImplementedError, match="data frames' columns"):
        list(pipe)


def test_where_an_iteration_goes_on() -> None:
    def program(t: Any, i: Any, m: Any) -> Any:
        restore = importlib.import_module(
            f"{t.__name__}.utils.data.datapipes.utils.snapshot"
        )._simple_graph_snapshot_restoration
        pipe = i.IterableWrapper(range(6))
        restore(pipe, 4)
        return list(pipe), list(pipe)

    assert _run(flambeau, program) == _run(torch, program)
