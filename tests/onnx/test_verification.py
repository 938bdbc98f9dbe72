"""How far an ONNX model is from its program, and what else is asked of one."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch.onnx import verification as theirs

import flambeau as fb
from flambeau.onnx import testing, verification


class Two(fb.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = fb.nn.Linear(3, 2)

    def forward(self, x: fb.Tensor, scale: fb.Tensor) -> tuple[fb.Tensor, fb.Tensor]:
        y = self.layer(x)
        return y * scale, y.relu()


def exported() -> fb.onnx.ONNXProgram:
    shapes = {"x": {0: fb.export.Dim("batch")}, "scale": None}
    return fb.onnx.export(Two(), (fb.ones(2, 3), fb.tensor(2.0)), output_names=["a", "b"], dynamic_shapes=shapes)


PAIRS = [
    ([1.0, 2, 3], [1, 2.001, 3.5]), ([1, 2, 3], [1, 2, 4]), ([True, False], [True, True]), ([0.0, 0.0], [1e-12, 100.0]), ([1, 2], [1.0, 4.0]),
    ([float("nan"), 1.0], [float("nan"), 1.0]), (3, 2.0), ([], []), ([1.0, 2], [1.0, 2, 3]),
]  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS)
def test_differences_are_told_as_pytorch_tells_them(pair: tuple[object, object]) -> None:
    said = []
    for lib, info in ((torch, theirs.VerificationInfo), (fb, verification.VerificationInfo)):
        expected, actual = (lib.tensor(v) if isinstance(v, list) else v for v in pair)
        try:
            said.append(repr(info.from_tensors("x", expected, actual).asdict()))
        except RuntimeError as error:
            said.append(str(error))
    assert said[1] == said[0]


def test_a_program_is_verified() -> None:
    made = exported()
    found = verification.verify_onnx_program(made)
    assert [(one.name, one.actual_dtype, one.max_abs_diff < 1e-6) for one in found] == [
        ("a", fb.float32, True),
        ("b", fb.float32, True),
    ]
    assert len(verification.verify_onnx_program(made, (fb.rand(5, 3), fb.tensor(1.0)))) == 2
    for backend in ("onnxruntime", "reference"):
        testing.assert_onnx_program(made, backend=backend)
    weight = next(v for v in made.model_proto.graph.initializer if list(v.dims) == [2, 3])
    weight.CopyFrom(fb.onnx._export._package().numpy_helper.from_array(np.zeros((2, 3), np.float32), weight.name))
    assert verification.verify_onnx_program(made)[0].max_abs_diff > 0.01
    with pytest.raises(AssertionError, match="not close"):
        testing.assert_onnx_program(made)
    with pytest.raises(NotImplementedError, match="compare_intermediates"):
        verification.verify_onnx_program(made, compare_intermediates=True)


def test_what_is_asked_of_a_program() -> None:
    made, inputs = exported(), (fb.rand(4, 3), fb.tensor(3.0))
    expected = made(*inputs)
    sessions: list[bytes] = []
    made.initialize_inference_session(lambda model: sessions.append(model) or onnxruntime.InferenceSession(model))
    assert len(sessions) == 1 and made(*inputs)[0].equal(expected[0])
    made.release()
    fb.testing.assert_close(made.call_reference(*inputs), expected)
    inner = next(node.output[0] for node in made.model_proto.graph.node if node.op_type == "Add")
    assert made.compute_values([inner, "b"], inputs)[0].relu().equal(expected[1])
    with pytest.raises(ValueError, match=r"no values \['nothing'\]"):
        made.compute_values(["nothing"], inputs)
    made.rename_axes({"batch": "rows"})
    assert made.model_proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "rows"
