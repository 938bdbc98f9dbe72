"""What notebooks show: well-formed, escaped HTML with the values, names and shapes that are printed elsewhere."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

import flambeau
from flambeau import nn


def parsed(value):
    """The view as a tree (whoever forgot to close or to escape something fails here), and its text."""
    html = value._repr_html_()
    tree = ElementTree.fromstring(f"<body>{html}</body>")
    tree.remove(tree.find("style"))
    return tree, " ".join("".join(tree.itertext()).split())


def cells(tree):
    return [["".join(cell.itertext()) for cell in row] for row in tree.iter("tr")]


def test_a_matrix_is_a_table_with_its_corners():
    values = flambeau.arange(2.0, 1202.0).reshape(30, 40).requires_grad_()
    tree, text = parsed(values)
    rows = cells(tree)
    assert rows[0] == ["", *map(str, range(6)), "…", *map(str, range(34, 40))]
    assert rows[1] == ["0", *(f"{i + 2}." for i in range(6)), "…", *(f"{i + 2}." for i in range(34, 40))]
    assert rows[7] == ["…"] * 14 and rows[-1][0] == "29" and rows[-1][-1] == "1201." and len(rows) == 14
    assert text.startswith("Tensor 30×40 float32, cpu, requires_grad")
    assert cells(parsed(flambeau.tensor([True, False]))[0]) == [["0", "1"], ["True", "False"]]
    assert cells(parsed(flambeau.tensor([0.5, float("nan")]))[0])[1] == ["0.5000", "nan"]
    assert cells(parsed(nn.Parameter(flambeau.ones(2, 1)))[0]) == [["", "0"], ["0", "1."], ["1", "1."]]


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 2, 2)])
def test_what_is_no_matrix_is_shown_as_printed(shape):
    value = flambeau.zeros(shape)
    tree, _ = parsed(value)
    assert tree.find(".//pre").text == repr(value)


def test_what_has_no_values_at_hand_is_left_to_its_repr():
    assert flambeau.ones(2, device="meta")._repr_html_() is None
    assert flambeau.eye(2).to_sparse()._repr_html_() is None
    seen = []

    def note(x):
        seen.append(x._repr_html_())
        return 2 * x

    flambeau.vmap(note)(flambeau.ones(3))
    flambeau.compile(note)(flambeau.ones(3))
    assert set(seen) == {None}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(5)])
        self.scale = nn.Parameter(flambeau.ones(3))
        self.lazy = nn.LazyLinear(3)
        self.register_module("nothing", None)
        self.more = nn.ModuleDict({"<b>&": nn.Embedding(10, 4, padding_idx=0)})


def test_a_module_is_a_tree_that_folds():
    tree, text = parsed(Net())
    folds = {re.sub(r"\W+.*", "", fold.find(".//b").text): "open" in fold.attrib for fold in tree.iter("details")}
    assert folds == {"Net": True, "ModuleList": True, "Sequential": False, "ModuleDict": True}
    assert "Net() scale 3 (143 parameters)" in text
    assert "(0-4) 5 × Sequential() (20 parameters)" in text and text.count("Linear(in_features=4") == 1
    assert "(<b>&) Embedding(10, 4, padding_idx=0) weight 10×4" in text
    assert "LazyLinear(in_features=0, out_features=3, bias=True) weight not initialised" in text
    assert "(nothing) None" in text


def test_summaries_and_reports_are_tables():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 10))
    summary = flambeau.summary(net, (1, 1, 8, 8))
    tree, text = parsed(summary)
    rows = cells(tree)
    assert rows[1] == ["0", "Conv2d", "1x4x6x6", "40", "1,296"] and rows[-1][0] == "Total"
    assert [row for row in rows if row[0] != "Total"] == [
        re.split(r"\s{2,}", line.strip()) for line in str(summary).splitlines() if re.match(r"\d|Layer", line)
    ]
    assert text.endswith(str(summary).splitlines()[-1])
    state = net.state_dict()
    assert parsed(net.load_state_dict(state))[1] == "All keys matched successfully"
    state["<i>"] = state.pop("2.bias")
    tree, _ = parsed(net.load_state_dict(state, strict=False))
    assert cells(tree) == [["What", "Key"], ["missing in the state dict", "2.bias"], ["unexpected", "<i>"]]
