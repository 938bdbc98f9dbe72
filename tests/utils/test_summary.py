"""The summary's figures, and that making it changes nothing."""

import pytest

import flambeau as fb
from flambeau import nn
from flambeau.utils.summary import summary
from flambeau.vision import models


def rows(*arguments, **options):
    return {row.path: row for row in summary(*arguments, **options).layers}


def test_layers():
    model = nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1, groups=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 6, 2, stride=2),
        nn.Flatten(),
        nn.Linear(6 * 10 * 10, 7),
    )
    found = rows(model, (2, 4, 5, 5))
    assert [(r.kind, r.output_shape, r.parameters, r.multiply_adds) for r in found.values()] == [
        ("Conv2d", (2, 8, 5, 5), 8 * 2 * 9 + 8, 2 * 8 * 25 * 2 * 9),
        ("BatchNorm2d", (2, 8, 5, 5), 16, 0),
        ("ReLU", (2, 8, 5, 5), 0, 0),
        ("ConvTranspose2d", (2, 6, 10, 10), 8 * 6 * 4 + 6, 2 * 8 * 25 * 6 * 4),
        ("Flatten", (2, 600), 0, 0),
        ("Linear", (2, 7), 601 * 7, 2 * 600 * 7),
    ]


class Own(nn.Module):
    """Uses a parameter of its own, one layer twice, another never."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(fb.ones(3, 3))
        self.twice = nn.Linear(3, 3)
        self.never = nn.Linear(3, 5)
        self.tied = nn.Linear(3, 3, bias=False)
        self.tied.weight = self.twice.weight

    def forward(self, x, index):
        y = self.tied(self.twice(self.twice(x))) @ self.weight
        return {"y": y, "both": (y[0], index)}


def test_products_outside_of_layers_shared_and_unused_ones():
    table = summary(Own(), [(2, 3), (4,)], dtype=[fb.float32, fb.int64])
    found = {row.path: row for row in table.layers}
    assert found[""].multiply_adds == 2 * 9 and found[""].output_shape == [(2, 3), (3,), (4,)]
    assert found["twice"].multiply_adds == 2 * 2 * 9 and found["twice"].parameters == 12
    assert found["never"].output_shape is None and found["never"].parameters == 20
    assert found["tied"].parameters == 0 and found["tied"].multiply_adds == 2 * 9
    assert table.parameters == 9 + 12 + 20 and table.parameter_bytes == 4 * 41


@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds"),
    [("alexnet", 61_100_840, 714_188_480), ("resnet34", 21_797_672, 3_663_761_408)],
)
def test_known_networks(name, parameters, multiply_adds):
    table = summary(getattr(models, name)(), (1, 3, 224, 224))
    assert (table.parameters, table.multiply_adds) == (parameters, multiply_adds)
    assert sum(row.parameters for row in table.layers) == parameters
    assert sum(row.multiply_adds for row in table.layers) == multiply_adds


def test_nothing_is_changed():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Dropout(0.5)).train()
    model[1].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fb.manual_seed(0)
    first = fb.rand(3)
    fb.manual_seed(0)
    summary(model, (3, 1, 4, 4))
    assert fb.equal(fb.rand(3), first)
    assert [m.training for m in model] == [True, False, True] and model.training
    assert all(fb.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not model[0]._forward_hooks and not model[0]._forward_pre_hooks


def test_errors_leave_the_model_whole():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(4, 4))
    with pytest.raises(RuntimeError):
        summary(model, (2, 3))
    assert model.training and not model[1]._forward_hooks
    with pytest.raises(ValueError, match="not initialised"):
        summary(nn.Sequential(nn.LazyLinear(3)), (2, 3))
    with pytest.raises(ValueError, match="got 1 dtypes for 2 inputs"):
        summary(model, [(2,), (3,)], dtype=[fb.float32])


def test_the_printed_table():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    model[0].bias.requires_grad_(False)
    assert str(summary(model, (2, 3))) == (
        "Layer  Class   Output shape  Parameters  Multiply-adds\n"
        "------------------------------------------------------\n"
        "0      Linear  2x4                   16             24\n"
        "1      ReLU    2x4                    0              0\n"
        "------------------------------------------------------\n"
        "Total                                16             24\n"
        "Trainable parameters: 12 (frozen: 4); they take 64 B"
    )
