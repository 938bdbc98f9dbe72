"""`torch.onnx.InputObserver` against PyTorch's: the same calls on both."""

import pytest
import torch

import flambeau

CALLS = {
    "positions": [((2, 3),), ((5, 3),), ((2, 3),), ((7, 3),)],
    "one more by name": [((2, 3), (2, 3)), ((4, 3), (1, 3)), ((4, 3), (4, 3), {"z": (4, 1)})],
    "by name": [({"x": (2, 3), "z": (2, 1)},), ({"x": (4, 3), "z": (1, 1)},)],
    "names that none has all of": [((2, 3), (2, 3)), ((4, 3), {"z": (4, 1)})],
    "constants": [((2, 3), {"flag": False}), ((2, 3), {"flag": True})],
    "nothing": [],
}


def observed(lib, calls, **options):
    class Model(lib.nn.Module):
        def forward(self, x, y=None, *, z=None, flag=True):
            return x * 2 if z is None else x * z

    def tensors(value):
        return lib.ones(*value) if isinstance(value, tuple) else value

    observer, model = lib.onnx.InputObserver(**options), Model()
    with observer(model):
        for call in calls:
            named = call[-1] if call and isinstance(call[-1], dict) else {}
            given = [tensors(shape) for shape in call if isinstance(shape, tuple)]
            model(*given, **{name: tensors(value) for name, value in named.items()})
    assert lib is torch or "forward" not in vars(model)
    return observer


def told(lib, calls, **options):
    observer, found = observed(lib, calls, **options), []
    for ask in (
        lambda: observer.num_obs(),
        lambda: observer.infer_dynamic_shapes(),
        lambda: observer.infer_dynamic_shapes(set_batch_dimension_for={"z", 0}),
        lambda: observer.infer_arguments(),
        lambda: observer.infer_arguments(0),
        lambda: observer.infer_arguments(flat=True),
        lambda: observer.infer_arguments(as_args_kwargs=True),
    ):
        try:
            found.append(str(ask()))
        except RuntimeError as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize("case", CALLS)
def test_what_an_export_needs_is_learned_as_in_pytorch(case):
    assert told(flambeau, CALLS[case]) == told(torch, CALLS[case])


def test_values_for_what_is_missing():
    calls = [({"x": (2, 3), "z": (2, 1)},), ({"x": (4, 3)},)]
    mine, theirs = (told(lib, calls, value_if_missing={"z": lib.zeros(0, 1)}) for lib in (flambeau, torch))
    assert mine == theirs


def test_an_exported_model_is_compared_with_the_calls():
    pytest.importorskip("onnxruntime")
    observer = observed(flambeau, [((2, 3),), ((4, 3),)])

    class Doubles(flambeau.nn.Module):
        factor = 2

        def forward(self, x):
            return x * self.factor

    for factor, right in ((2, True), (3, False)):
        model = Doubles()
        model.factor = factor
        shapes = observer.infer_dynamic_shapes()
        program = flambeau.onnx.export(model, observer.infer_arguments(), dynamic_shapes=shapes)
        assert [row["SUCCESS"] for row in observer.check_discrepancies(program)] == [right, right]
