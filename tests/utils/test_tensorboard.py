"""What TensorBoard reads of a run: record by record as of PyTorch's writer."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

import flambeau as fb


def writer_of(lib: Any, folder: Path) -> Any:
    return importlib.import_module(f"{lib.__name__}.utils.tensorboard").SummaryWriter(folder)


def write(lib: Any, folder: Path) -> None:
    w = writer_of(lib, folder)
    values = torch.linspace(-1, 3, 50, dtype=torch.float64).pow(3).numpy()
    picture = np.arange(3 * 8 * 8, dtype=np.float32).reshape(3, 8, 8) / 192
    w.add_scalar("number", 1.5, 1, walltime=10)
    w.add_scalar("tensor", lib.tensor([2.5]), lib.tensor(2))
    w.add_scalar("new", 3, 3, new_style=True)
    w.add_scalar("double", 0.1, new_style=True, double_precision=True)
    w.add_scalars("both", {"a": 1, "b/c": lib.tensor(2.0)}, 4)
    w.add_histogram("h", lib.tensor(values), 1)
    w.add_histogram("zeros", lib.zeros(3), 1)
    w.add_histogram("counts", np.array([1, 2, 3]), bins=[0, 1, 2, 4])
    w.add_histogram("beside", np.array([1, 2, 3]), bins=[20, 21])
    w.add_histogram("auto", values, bins="auto", max_bins=4)
    w.add_histogram_raw("raw", 0, 1, 3, 2.0, 2.0, [1, 2], [1, 2])
    w.add_image("chw", lib.tensor(picture))
    w.add_image("hwc", (picture.transpose(1, 2, 0) * 255).astype(np.uint8), dataformats="HWC")
    w.add_image("hw", lib.tensor(picture[0]), dataformats="HW")
    w.add_images("grid", lib.tensor(np.stack([picture[:1]] * 11)))
    w.add_image_with_boxes("boxes", lib.tensor(picture), lib.tensor([[1.0, 1, 5, 6]]))
    w.add_text("note", "hello *you*", 5)
    w.add_tensor("values", lib.ones(2, 3), 1)
    w.add_audio("sound", lib.linspace(-1, 1, 8).reshape(1, -1), sample_rate=8)
    w.add_mesh(
        "mesh", lib.ones(1, 3, 3), colors=lib.ones(1, 3, 3, dtype=lib.uint8), faces=lib.zeros(1, 1, 3, dtype=lib.int32)
    )
    w.add_pr_curve("pr", lib.tensor([0, 1, 1, 0, 1]), lib.tensor([0.1, 0.8, 0.6, 0.4, 0.99]), 0)
    w.add_pr_curve("few", np.array([0, 1]), np.array([0.1, 0.8]), num_thresholds=5, weights=np.array([2.0, 1.0]))
    w.add_pr_curve_raw("given", [1, 2], [1, 0], [0, 1], [0, 0], [0.5, 1.0], [1.0, 1.0], num_thresholds=2)
    for kind in ("uint8", "int16", "bool", "float16", "bfloat16", "complex64", "complex128", "float64"):
        w.add_tensor(kind, lib.tensor([1, 0, 1]).to(getattr(lib, kind)), 2)
    w.add_image_with_boxes("scaled", lib.tensor(picture), lib.tensor([[1.0, 1, 5, 6]]), rescale=2, labels="a")
    w.add_custom_scalars({"Places": {"north": ["Multiline", ["a", "b"]], "south": ["Margin", ["x", "y", "z"]]}})
    w.add_custom_scalars_multilinechart(["x", "y"])
    w.add_custom_scalars_marginchart(["x", "y", "z"], "category", "title")
    w.add_hparams(
        {"lr": 0.1, "layers": 2, "name": "x", "on": True, "none": None},
        {"accuracy": 0.5},
        {"lr": [0.1, 0.2]},
        run_name="run",
    )
    w.add_hparams({"lr": lib.tensor([0.5, 1.0])}, {"loss": 1}, run_name="later", global_step=4)
    w.add_embedding(lib.arange(6.0).reshape(3, 2), list("abc"), lib.tensor(np.stack([picture] * 3)), 2, "tag/with")
    w.add_embedding(lib.arange(6.0).reshape(3, 2), [["a", 1], ["b", 2], ["c", 3]], metadata_header=["p", "q"])
    pictures = lib.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).to(lib.uint8)
    w.add_embedding(lib.arange(4).reshape(2, 2), label_img=pictures, tag="a b:c/d", global_step=3)
    w.close()


def contents(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        name = str(path.relative_to(folder))
        if "tfevents" not in name:
            found[name] = path.read_bytes()
            continue
        events = []
        for event in EventFileLoader(str(path)).Load():
            if event.WhichOneof("what") == "summary":
                events.append((event.step, str(event.summary)))
        found[str(path.parent.relative_to(folder))] = events
    return found


def test_records(tmp_path: Path) -> None:
    written = []
    for lib in (fb, torch):
        write(lib, tmp_path / lib.__name__)
        written.append(contents(tmp_path / lib.__name__))
    ours, theirs = written
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        if isinstance(expected, list):
            for mine, wanted in zip(ours[name], expected, strict=True):
                assert mine == wanted, name
        else:
            assert ours[name] == expected, name


def test_errors(tmp_path: Path) -> None:
    for lib in (fb, torch):
        w = writer_of(lib, tmp_path / lib.__name__)
        calls: list[Any] = [
            (AssertionError, "contain|0D|scalar", lambda w, lib: w.add_scalar("x", lib.ones(2))),
            (
                AssertionError,
                "size of input tensor and input format are different",
                lambda w, lib: w.add_image("x", lib.ones(2, 2)),
            ),
            (
                AssertionError,
                "#labels should equal with #data points",
                lambda w, lib: w.add_embedding(lib.ones(3, 2), ["a"]),
            ),
            (ValueError, "The input has no element", lambda w, lib: w.add_histogram("x", lib.tensor([]))),
            (
                ValueError,
                "len\\(bucket_limits\\) != len\\(bucket_counts\\)",
                lambda w, lib: w.add_histogram_raw("x", 0, 1, 1, 1, 1, [1], []),
            ),
            (TypeError, "hparam_dict and metric_dict should be dictionary", lambda w, lib: w.add_hparams(3, {})),
        ]
        for error, text, call in calls:
            with pytest.raises(error, match=text):
                call(w, lib)
        w.close()


CALLS = {
    "a list": lambda w, lib: w.add_scalar("x", [1.0]),
    "two numbers": lambda w, lib: w.add_scalar("x", lib.ones(2)),
    "a tag": lambda w, lib: w.add_scalars("x", {3: 1}),
    "bins beside all": lambda w, lib: w.add_histogram("x", lib.arange(3.0), bins=[20, 25, 30]),
    "a dtype": lambda w, lib: w.add_tensor("x", lib.ones(1, dtype=lib.uint16)),
    "a letter twice": lambda w, lib: w.add_image("x", lib.ones(3, 2, 2), dataformats="CCW"),
    "dimensions": lambda w, lib: w.add_image("x", lib.ones(3, 2, 2), dataformats="HW"),
    "no images": lambda w, lib: w.add_images("x", lib.ones(0, 3, 2, 2)),
    "channels": lambda w, lib: w.add_images("x", lib.ones(1, 2, 2, 2)),
    "a film": lambda w, lib: w.add_video("x", lib.ones(2, 2)),
    "two channels": lambda w, lib: w.add_audio("x", lib.ones(2, 4)),
    "a mesh": lambda w, lib: w.add_mesh("x", lib.ones(3, 3)),
    "a margin": lambda w, lib: w.add_custom_scalars_marginchart(["a", "b"]),
    "another margin": lambda w, lib: w.add_custom_scalars({"T": {"b": ["Margin", ["p", "q"]]}}),
    "a parameter": lambda w, lib: w.add_hparams({"a": [1, 2]}, {"m": 1}),
    "a domain": lambda w, lib: w.add_hparams({"a": 1}, {"m": 1}, {"a": ["x"]}),
    "an unknown domain": lambda w, lib: w.add_hparams({"a": 1}, {"m": 1}, {"z": [1]}),
    "no domain": lambda w, lib: w.add_hparams({"a": 1}, {"m": 1}, [3]),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_is_refused_says_what_pytorch_says(name: str, tmp_path: Path) -> None:
    said = []
    for lib in (torch, fb):
        with writer_of(lib, tmp_path / lib.__name__) as w, pytest.raises(Exception) as raised:
            CALLS[name](w, lib)
        said.append((type(raised.value), str(raised.value)))
    (theirs, text), (ours, told) = said
    assert ours is theirs
    assert told.startswith(text.rstrip("."))


def test_a_folder_stays_what_it_was(tmp_path: Path) -> None:
    for lib in (torch, fb):
        w = writer_of(lib, tmp_path / lib.__name__)
        assert w.log_dir == w.get_logdir() == tmp_path / lib.__name__
        w.close()


def test_a_figure_a_film_and_a_network(tmp_path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(2, 1), dpi=50)
    w = writer_of(fb, tmp_path)
    w.add_figure("figure", figure)
    assert not plt.fignum_exists(figure.number)
    w.add_video("film", fb.rand(1, 4, 3, 8, 8))
    network = fb.nn.Sequential(fb.nn.Linear(4, 3), fb.nn.Sequential(fb.nn.ReLU(), fb.nn.Dropout()))
    w.add_graph(network, fb.ones(1, 4))
    assert all(module.training for module in network.modules()) and not network[0]._forward_hooks
    w.close()
    seen = EventAccumulator(str(tmp_path)).Reload()
    assert (seen.Images("figure")[0].width, seen.Images("figure")[0].height) == (100, 50)
    assert seen.Images("film")[0].encoded_image_string[:6] in (b"GIF87a", b"GIF89a")
    assert seen.Tags()["run_metadata"] == ["step1"]
    assert [stats.device for stats in seen.RunMetadata("step1").step_stats.dev_stats] == ["/device:CPU:0"]
    nodes = {node.name: (node.op, list(node.input)) for node in seen.Graph().node}
    assert nodes == {
        "input": ("IO Node", []),
        "Sequential/Linear[0]": ("Linear", ["input"]),
        "Sequential/1/ReLU[0]": ("ReLU", ["Sequential/Linear[0]"]),
        "Sequential/1/Dropout[1]": ("Dropout", ["Sequential/1/ReLU[0]"]),
        "output": ("IO Node", ["Sequential/1/Dropout[1]"]),
    }


def test_parts_of_summaries() -> None:
    from torch.utils.tensorboard import summary as theirs

    from flambeau.utils.tensorboard import summary as ours

    draw = np.random.RandomState(0)
    values, labels = draw.rand(20), draw.rand(20) > 0.5
    picture = (draw.rand(30, 40, 3) * 255).astype(np.uint8)
    for weights in (None, values):
        assert np.array_equal(
            ours.compute_curve(labels, values, 7, weights), theirs.compute_curve(labels, values, 7, weights)
        )
    for options in ((5,), (20, 4), ([0.0, 0.5, 2.0],)):
        assert str(ours.make_histogram(values, *options)) == str(theirs.make_histogram(values, *options))
    for options in ((), (2,), (0.5, np.array([[1.0, 2, 20, 21], [3, 4, 9, 9]]), ["a", "b"])):
        assert str(ours.make_image(picture, *options)) == str(theirs.make_image(picture, *options))
    with pytest.raises(ValueError, match=r"The input has no element\."):
        ours.make_histogram(np.array([]), 3)
