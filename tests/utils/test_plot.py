"""Drawings of networks: what flows where, what is folded, and that the picture is one."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch

import flambeau
import flambeau.nn.functional as F
from flambeau import nn
from flambeau.utils.plot.blocks import blocks, count
from flambeau.utils.plot.record import Example, record

SVG = "{http://www.w3.org/2000/svg}"


class Block(nn.Module):
    def __init__(self, inside, outside, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1)
        self.down = nn.Sequential(nn.Conv2d(inside, outside, 1, stride), nn.Dropout()) if stride > 1 else nn.Identity()

    def forward(self, x):
        y = self.conv2(self.relu(self.conv1(x)))
        y += self.down(x)
        return self.relu(y)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(flambeau.ones(4, 1, 1))
        self.layers = nn.Sequential(Block(4, 4), Block(4, 4), Block(4, 4), Block(4, 8, 2))
        self.head = nn.Linear(8, 3)

    def forward(self, image):
        unused = image.mean() + 1  # noqa: F841
        return self.head(F.relu(self.layers(image * self.scale)).mean((2, 3)))


def flows(picture):
    """The edges of all boxes, as pairs of names, those within blocks with the block's name before them."""
    found = set()

    def note(boxes, before, made):
        for box in boxes:
            name = f"{before}{box.name.replace(' … ', '-') or box.title}"
            for value in map(same, box.inputs):
                if value in made and not box.inner:
                    found.add((made[value], name))
            if box.inner:
                note(box.inner, f"{name}.", made)
            else:
                made.update({same(value): name for value in box.outputs})

    def same(value):
        while value in picture.same:
            value = picture.same[value]
        return value

    note(picture.boxes, "", {})
    return found


def drawn(module, *shapes, depth=9, dtype=None):
    recorded = record(module, Example.of(list(shapes), dtype))
    return blocks(recorded, depth)


def test_what_flows_where():
    picture = drawn(Net(), (1, 4, 8, 8))
    a, b = "layers.0-2", "layers.3"
    assert flows(picture) == {
        *(("image", "×"), ("scale", "×"), ("×", f"{a}.conv1"), ("×", f"{a}.down")),
        *((f"{a}.conv1", f"{a}.relu"), (f"{a}.relu", f"{a}.conv2"), (f"{a}.conv2", f"{a}.+"), (f"{a}.down", f"{a}.+")),
        *((f"{a}.+", f"{a}.relu"), (f"{a}.relu", f"{b}.conv1"), (f"{a}.relu", f"{b}.down.0")),
        *((f"{b}.conv1", f"{b}.relu"), (f"{b}.relu", f"{b}.conv2"), (f"{b}.conv2", f"{b}.+")),
        *((f"{b}.down.0", f"{b}.down.1"), (f"{b}.down.1", f"{b}.+"), (f"{b}.+", f"{b}.relu")),
        *((f"{b}.relu", "relu"), ("relu", "mean"), ("mean", "head"), ("head", "output")),
    }
    assert [count(drawn(Net(), (1, 4, 8, 8), depth=d)) for d in (1, 2, 3, 4)] == [8, 10, 22, 24]


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50, 8)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.cell = nn.LSTM(8, 8, batch_first=True)

    def forward(self, tokens, memory):
        x = self.embed(tokens)
        y, _ = self.attend(x, memory, memory)
        y, (h, _) = self.cell(x + y)
        y[:, 0] = 0
        a, b = y.chunk(2, -1)
        return F.linear(flambeau.cat([a, b], -1), self.embed.weight), h


def test_several_inputs_results_and_writes():
    before = flambeau.get_rng_state()
    net = Two()
    state = {key: value.clone() for key, value in net.state_dict().items()}
    now = flambeau.get_rng_state()
    found = flows(drawn(net, (2, 5), (2, 7, 8), dtype=[flambeau.int64, None]))
    assert found == {
        *(
            ("tokens", "embed"),
            ("embed", "attend"),
            ("memory", "attend"),
            ("embed", "+"),
            ("attend", "+"),
            ("+", "cell"),
        ),
        *(("cell", "__setitem__"), ("__setitem__", "chunk"), ("chunk", "cat"), ("cat", "linear"), ("weight", "linear")),
        *(("linear", "output"), ("cell", "output")),
    }
    assert flambeau.equal(now, flambeau.get_rng_state()) and not flambeau.equal(before, now) and net.training
    assert all(flambeau.equal(state[key], value) for key, value in net.state_dict().items())
    assert not net.embed._forward_hooks and not net.embed._forward_pre_hooks


@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
def test_the_picture(theme, tmp_path):
    drawing = flambeau.plot(Net(), (1, 4, 8, 8), theme=theme)
    drawing.save(tmp_path / "net.svg")
    tree = ElementTree.parse(tmp_path / "net.svg").getroot()
    texts = ["".join(text.itertext()) for text in tree.iter(f"{SVG}text")]
    assert drawing._repr_svg_() == drawing.svg and "SVG" in repr(drawing)
    assert {"1×4×8×8", "1×8×4×4", "1×3", "8→3", "4→8, 3×3 /2"} <= set(texts) and "Block0 … 2×3" in texts
    assert ("prefers-color-scheme" in drawing.svg) == (theme == "auto")
    width, height = (float(tree.get(side)) for side in ("width", "height"))
    boxes = [
        (r.get("class"), *(float(r.get(k)) for k in ("x", "y", "width", "height")))
        for r in tree.iter(f"{SVG}rect")
        if r.get("x")
    ]
    assert all(min(x, y) >= 0 and x + w <= width and y + h <= height for _, x, y, w, h in boxes)
    layers = [box[1:] for box in boxes if box[0] in ("conv", "linear", "active", "layer")]
    assert len(layers) == 12
    for i, (x, y, w, h) in enumerate(layers):
        assert all(x >= x2 + w2 or x2 >= x + w or y >= y2 + h2 or y2 >= y + h for x2, y2, w2, h2 in layers[:i])


class Asking(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_a_guess_and_what_is_refused(tmp_path):
    guessed = flambeau.plot(nn.Sequential(nn.Conv2d(1, 6, 5), nn.Flatten(), nn.Linear(6 * 24 * 24, 3)))
    assert guessed.shapes == [(1, 1, 28, 28)]
    assert flambeau.plot(nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 2))).shapes == [(1, 16)]
    with pytest.raises(ValueError, match=r"can't be guessed from Bilinear: give it"):
        flambeau.plot(nn.Bilinear(1, 2, 3))
    with pytest.raises(ValueError, match=r"the forward asks for values \(.*test_plot.py, line \d+: return x if x.sum"):
        flambeau.plot(Asking(), (2, 2))
    with pytest.raises(ValueError, match="theme must be"):
        flambeau.plot(nn.Linear(1, 1), (1, 1), theme="blue")
    with pytest.raises(ValueError, match="depth must be at least 1"):
        flambeau.plot(nn.Linear(1, 1), (1, 1), depth=0)
    with pytest.raises(TypeError, match="plot needs a module, but got function"):
        flambeau.plot(F.relu, (1, 1))
    with pytest.raises(ValueError, match="weight is not initialised"):
        flambeau.plot(nn.LazyLinear(3), (1, 1))
    with pytest.raises(RuntimeError, match=re.escape("mat1 and mat2 shapes cannot be multiplied (1x3 and 2x1)")):
        flambeau.plot(nn.Linear(2, 1), (1, 3))
    with pytest.raises(ValueError, match=r"name the file .svg, not net.png"):
        guessed.save(tmp_path / "net.png")
    meta = nn.Linear(4, 2, device="meta")
    assert "1×2" in flambeau.plot(meta, flambeau.ones(1, 4)).svg and meta.weight.is_meta
    assert not hasattr(torch, "plot")
