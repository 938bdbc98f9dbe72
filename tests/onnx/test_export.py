"""`torch.onnx.export`: models that onnxruntime runs to the same values."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import flambeau as fb
import onnx
from flambeau import nn
from flambeau.nn import functional as F


def run(model: bytes, *inputs: fb.Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    return session.run(None, dict(zip(names, [x.numpy() for x in inputs], strict=True)))


def check(model: nn.Module, *inputs: fb.Tensor, others: tuple[fb.Tensor, ...] = (), **options) -> onnx.ModelProto:
    """Export it, and compare what onnxruntime computes, also for other inputs."""
    made = fb.onnx.export(model, inputs, **options)
    onnx.checker.check_model(made.model_proto, full_check=True)
    model.eval()
    for given in (inputs, others) if others else (inputs,):
        with fb.no_grad():
            expected = fb.utils._pytree.tree_flatten(model(*given))[0]
        got = run(made.model_proto.SerializeToString(), *given)
        for ours, theirs in zip([e for e in expected if e is not None], got, strict=True):
            np.testing.assert_allclose(theirs, ours.numpy(), rtol=1e-4, atol=1e-5)
            assert theirs.dtype == ours.numpy().dtype
    return made.model_proto


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2 = nn.Linear(400, 20), nn.Linear(20, 10)

    def forward(self, x: fb.Tensor) -> fb.Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.avg_pool2d(fb.tanh(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.view(x.size(0), -1)), inplace=True)
        return F.log_softmax(self.fc2(x), dim=1)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(4, 8, 3, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.Conv2d(8, 8, 3, 1, 1),
            nn.BatchNorm2d(8),
        )
        self.short = nn.Sequential(nn.Conv2d(4, 8, 1, 2), nn.BatchNorm2d(8))

    def forward(self, x: fb.Tensor) -> fb.Tensor:
        out = self.body(x)
        out += self.short(x)
        return F.adaptive_avg_pool2d(F.relu(out), 1).flatten(1)


class Attention(nn.Module):
    """A block as in minGPT: a causal mask in a buffer, heads by view and transpose."""

    def __init__(self, width: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(11, width), nn.Parameter(fb.randn(1, 16, width))
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 16), nn.GELU(), nn.Linear(16, width), nn.Dropout(0.1)
        )
        self.register_buffer("mask", fb.tril(fb.ones(16, 16)).view(1, 1, 16, 16))
        self.heads = heads

    def forward(self, tokens: fb.Tensor) -> fb.Tensor:
        b, t = tokens.size()
        x = self.embed(tokens) + self.place[:, :t]
        q, k, v = self.qkv(self.norm(x)).split(x.shape[-1], dim=2)
        q, k, v = (m.view(b, t, self.heads, -1).transpose(1, 2) for m in (q, k, v))
        scores = (q @ k.transpose(-2, -1)) / math.sqrt(k.size(-1))
        scores = scores.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf"))
        y = (F.softmax(scores, dim=-1) @ v).transpose(1, 2).contiguous().view(b, t, -1)
        x = x + self.out(y)
        return x + self.mlp(x)


class Applied(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def alexnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 11, 4, 2), nn.ReLU(True), nn.MaxPool2d(3, 2), nn.Conv2d(8, 12, 5, padding=2), nn.ReLU(True), nn.MaxPool2d(3, 2),
        nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Dropout(), nn.Linear(12, 10),
    )  # fmt: skip


def test_convolutional_networks() -> None:
    fb.manual_seed(0)
    check(LeNet(), fb.randn(2, 1, 28, 28))
    check(alexnet(), fb.randn(2, 3, 64, 64))
    check(Residual(), fb.randn(2, 4, 8, 8))
    batch = {"x": {0: "batch"}, "y": {0: "batch"}}
    names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": batch}
    made = check(LeNet(), fb.randn(2, 1, 28, 28), others=(fb.randn(5, 1, 28, 28),), **names)
    assert [i.name for i in made.graph.input] == ["x"] and [o.name for o in made.graph.output] == ["y"]
    assert made.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert made.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert {"conv1.weight", "fc2.bias"} <= {i.name for i in made.graph.initializer}


@pytest.mark.parametrize("opset", [13, 17, 18, 20, 21])
def test_attention(opset: int) -> None:
    fb.manual_seed(0)
    model = Attention()
    shapes = ({0: fb.export.Dim("batch"), 1: fb.export.Dim("time", max=16)},)
    tokens, others = fb.randint(0, 11, (2, 6)), fb.randint(0, 11, (3, 9))
    made = check(model, tokens, others=(others,), dynamic_shapes=shapes, opset_version=opset)
    assert made.opset_import[0].version == opset


def test_attention_layers() -> None:
    fb.manual_seed(0)
    x = fb.randn(3, 5, 8)
    check(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), x)
    check(
        nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", norm_first=True), 2, enable_nested_tensor=False
        ),
        x,
    )
    check(nn.TransformerDecoderLayer(8, 2, 16), x, fb.randn(4, 5, 8))
    attention = nn.MultiheadAttention(8, 2, batch_first=True, kdim=8, vdim=8)
    mask = fb.triu(fb.ones(5, 5, dtype=fb.bool), 1)
    padding = fb.tensor([[False] * 4 + [True]] * 3)
    check(
        Applied(
            lambda x: attention.eval()(x, x, x, attn_mask=mask, key_padding_mask=padding, average_attn_weights=False)
        ),
        x,
    )
    q = fb.randn(2, 2, 5, 4)
    check(
        Applied(lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True)),
        q,
        others=(fb.randn(2, 2, 7, 4),),
        dynamic_shapes=[{2: "t"}],
    )
    check(Applied(lambda q, m: F.scaled_dot_product_attention(q, q, q, m, scale=0.3)), q, fb.randn(5, 5))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers(kind: str) -> None:
    fb.manual_seed(0)
    x = fb.randn(4, 3, 5)
    check(getattr(nn, kind)(5, 6), x)
    check(getattr(nn, kind)(5, 6, 2, batch_first=True, bidirectional=True), x)
    check(getattr(nn, kind)(5, 6, bias=False), x)


FUNCTIONS = {
    "activations": lambda x: [
        f(x) for f in (F.elu, F.selu, F.silu, F.mish, F.gelu, F.relu6, F.hardswish, F.hardsigmoid, F.softplus, F.hardtanh, F.leaky_relu, F.celu)
    ],
    "more activations": lambda x: [F.gelu(x, approximate="tanh"), F.logsigmoid(x), F.glu(x), F.softmin(x, 1), x.sigmoid(), x.erf(), F.softsign(x)],
    "arithmetic": lambda x: [2 - x, 1 / (x + 10), x**2, 2**x, -x, x.abs().sqrt(), (x.abs() + 1).rsqrt(), x.add(x, alpha=3), x // 1, x.square()],
    "comparisons": lambda x: [x > 0, x <= 0.5, x != x, (x > 0) & (x < 1), ~(x > 0), fb.where(x > 0, x, 0.0), x.clamp(-0.5), x.clamp(-1, 1)],
    "reductions": lambda x: [x.mean(), x.sum(1), x.mean((0, 1), keepdim=True), x.var(1), x.std(0, unbiased=False), x.amax(1), x.norm(dim=1)],
    "extremes": lambda x: [x.max(), *x.max(1), *x.min(0, keepdim=True), x.argmax(), x.argmin(1), fb.maximum(x, -x), x.logsumexp(1), x.prod(1)],
    "shapes": lambda x: [x.T, x.unsqueeze(1).expand(-1, 3, -1), x.repeat(2, 1), fb.stack([x, x], 1), *x.chunk(2, 1), *x.unbind(0), x.reshape(-1)],
    "indexing": lambda x: [x[0], x[:, 1:3], x[..., -1], x[None, :, ::2], x[:, None, 0], x[fb.tensor([2, 0])], x.flip(1), x.narrow(1, 1, 2)],
    "selection": lambda x: [x.tril(), x.triu(1), x.gather(1, fb.tensor([[0, 1]] * 3)), x.index_select(1, fb.tensor([1, 1])), F.pad(x, (1, 2))],
    "products": lambda x: [x @ x.T, fb.einsum("ij,kj->ik", x, x), F.normalize(x), fb.addmm(x[:, :3], x, x.T, beta=0.5, alpha=2), x.cumsum(1)],
    "dtypes": lambda x: [x.to(fb.float64), x.int(), (x > 0).float(), (x > 0).sum(1), fb.zeros_like(x), x.double() + 1, x.type_as(x.double())],
    "made of others": lambda x: [
        F.tanhshrink(x), F.softshrink(x, 0.3), F.hardshrink(x), F.threshold(x, 0.1, 2.0), F.cosine_similarity(x, x + 1), fb.hypot(x, x + 1),
        fb.outer(x[0], x[1]), x.isfinite(), fb.logaddexp(x, -x), x.movedim(0, 1), *fb.meshgrid(x[0], x[:, 0], indexing="xy"), x % 0.3,
        fb.linalg.vector_norm(x, 3, dim=1), *fb.std_mean(x, 1), *x.aminmax(), fb.hstack([x, x]), fb.vstack([x, x[0]]), fb.full_like(x, 2.0),
        fb.log1p(x.abs() * 1e-4), fb.log2(x.abs()), fb.expm1(x), fb.expm1(x * 1e-3), x.lerp(x + 1, 0.3), fb.addcmul(x, x, x, value=0.3),
        (x / 0).nan_to_num(), fb.heaviside(x.relu(), fb.tensor(0.5)), (x > 0) ^ (x > 1), x.where(x > 0, -x), fb.exp2(x), fb.erfc(x),
        F.bilinear(x, x, fb.ones(2, 4, 4)), fb.special.expit(x), fb.special.logit(x.sigmoid()), x.aminmax(dim=1)[1], fb.clamp_max(x, 0.5),
    ],
    "losses": lambda x: [
        F.mse_loss(x, x * 2), F.l1_loss(x, x * 2, reduction="sum"), F.huber_loss(x, x * 4), F.smooth_l1_loss(x, x * 4, beta=0.3),
        F.binary_cross_entropy(x.sigmoid(), x.sigmoid()), F.binary_cross_entropy_with_logits(x, x), F.kl_div(x, x.exp(), reduction="sum"),
        F.nll_loss(x, fb.tensor([0, -100, 2])), F.cross_entropy(x, fb.tensor([0, 1, 3])), F.cross_entropy(x[0], fb.tensor(1)),
    ],
    "pictures": lambda x: [
        F.pixel_unshuffle(x.repeat(2, 1)[None, None], 2), F.grid_sample(x[None, None], x[:2].reshape(1, 2, 2, 2).sin(), align_corners=False),
        F.grid_sample(x[None, None], x[:2].reshape(1, 2, 2, 2).sin(), mode="nearest", align_corners=True),
    ],
    "lists and turns": lambda x: [
        x[[0, 2]], x[:, [1, 0, -1]], x[[0, 2], 1:], x.roll(1, 0), x.roll((1, -2), (0, 1)), x.roll(-1, -1), (x * 3).trunc(),
        F.pairwise_distance(x, x + 1), F.pairwise_distance(x, -x, p=1.0, keepdim=True),
    ],
    "in place": lambda x: [x.clone().add_(1).mul_(2).relu_()],
}  # fmt: skip


COSTLY = ("made of others", "losses", "pictures")  # each function compiles a program of its own


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in COSTLY else []) for n in FUNCTIONS])
def test_functions(name: str) -> None:
    fb.manual_seed(0)
    check(Applied(FUNCTIONS[name]), fb.randn(3, 4))


def test_functions_made_of_others_take_other_sizes() -> None:
    check(
        Applied(
            lambda x: [F.mse_loss(x, x * 2), *fb.meshgrid(x[:, 0], x[0], indexing="ij"), fb.log1p(x), fb.vstack([x, x])]
        ),
        fb.rand(3, 4),
        others=(fb.rand(5, 4),),
        input_names=["x"],
        dynamic_axes={"x": {0: "b"}},
    )


def test_lists_and_turns_take_other_sizes() -> None:
    check(
        Applied(lambda x: [x.roll(1, 0), x.roll(-2, 0), x[[0, -1]], F.pairwise_distance(x, x + 1), x.trunc()]),
        fb.rand(4, 3),
        others=(fb.rand(7, 3),),
        dynamic_shapes=[{0: "b"}],
    )


def test_layers() -> None:
    fb.manual_seed(0)
    image, line = fb.randn(2, 4, 6, 6), fb.randn(2, 4, 10)
    for layer in (
        nn.ConvTranspose2d(4, 2, 3, 2, 1, 1), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True), nn.Upsample(scale_factor=2),
        nn.Upsample(scale_factor=2, mode="bilinear"), nn.Upsample((9, 9), mode="bilinear", align_corners=True), nn.PReLU(4), nn.PixelShuffle(2),
        nn.AdaptiveAvgPool2d(3), nn.AdaptiveMaxPool2d(1), nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.Conv2d(4, 4, 3, groups=2, dilation=2),
        nn.Conv2d(4, 2, 3, padding="same"), nn.ReflectionPad2d(1), nn.ReplicationPad2d(1), nn.RMSNorm(6), nn.LayerNorm([6, 6]), nn.ZeroPad2d(1),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.Softmax(1), nn.Flatten(0, 1), nn.Unflatten(1, (2, 2)),
    ):  # fmt: skip
        check(layer, image)
    for layer in (
        nn.Conv1d(4, 3, 3),
        nn.BatchNorm1d(4),
        nn.MaxPool1d(2),
        nn.AdaptiveAvgPool1d(5),
        nn.Linear(10, 3, bias=False),
    ):
        check(layer, line)
    check(nn.Embedding(5, 3, padding_idx=0), fb.tensor([[1, 0]]))


def test_both_forms_of_the_call(tmp_path: Path, capsys) -> None:
    model, x = nn.Linear(3, 2), fb.randn(1, 3)
    assert (
        fb.onnx.export(
            model, x, tmp_path / "a.onnx", dynamo=False, training=fb.onnx.TrainingMode.EVAL, do_constant_folding=True
        )
        is None
    )
    made = fb.onnx.export(model, (x,), str(tmp_path / "b.onnx"), dynamo=True, verify=True, verbose=True)
    assert "MatMul" in capsys.readouterr().out
    buffer = io.BytesIO()
    made.save(buffer)
    expected = model(x).detach().numpy()
    for content in ((tmp_path / "a.onnx").read_bytes(), (tmp_path / "b.onnx").read_bytes(), buffer.getvalue()):
        np.testing.assert_allclose(run(content, x)[0], expected, rtol=1e-5, atol=1e-6)
    made.save(tmp_path / "c.onnx", external_data=True)
    assert (tmp_path / "c.onnx.data").exists()
    fb.testing.assert_close(made(x)[0], model(x).detach())
    program = fb.onnx.export(fb.export.export(model, (x,)), keep_initializers_as_inputs=True)
    assert [i.name for i in program.model_proto.graph.input] == ["input", "weight", "bias"]


def test_keywords_modes_and_the_state() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.drop = nn.BatchNorm1d(3), nn.Dropout(0.5)
            self.asked = []

        def forward(self, x: fb.Tensor, scale: fb.Tensor | None = None, shift: int = 0) -> dict[str, fb.Tensor]:
            self.asked.append((self.training, fb.onnx.is_in_onnx_export()))
            return {"y": self.drop(self.norm(x)) * scale + shift, "x": x}

    net, x = Net(), fb.randn(4, 3)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    made = fb.onnx.export(net, (x,), kwargs={"scale": fb.full((1,), 2.0), "shift": 1})
    assert set(net.asked) == {(False, True)} and net.training and net.drop.training and not fb.onnx.is_in_onnx_export()
    assert all(fb.equal(v, before[k]) for k, v in net.state_dict().items())
    got = run(made.model_proto.SerializeToString(), x, fb.full((1,), 3.0))
    np.testing.assert_allclose(got[0], net.eval()(x, 3, 1)["y"].detach().numpy(), rtol=1e-4, atol=1e-5)
    assert fb.onnx.export(net, (x, {"scale": fb.ones(1)})).model_proto.graph.input[1].name == "scale"


def test_what_can_not_be_exported_is_named() -> None:
    x = fb.randn(3, 4)
    refused = fb.onnx.errors.UnsupportedOperatorError
    with pytest.raises(
        refused, match=r"Exporting the operator 'torch\.fft\.fft' to ONNX opset version 20 is not supported"
    ):
        fb.onnx.export(Applied(lambda x: fb.fft.fft(x)), (x,))
    with pytest.raises(refused, match=r"batch_norm.*training mode"):
        fb.onnx.export(nn.BatchNorm1d(4), (x,), training=fb.onnx.TrainingMode.TRAINING)
    with pytest.raises(refused, match=r"torch\.Tensor\.cummax"):
        fb.onnx.export(Applied(lambda x: x.cummax(0)[0]), (x,))

    def written(x: fb.Tensor) -> fb.Tensor:
        y = x * 1
        z = y[0]
        y.add_(1)
        return z + y

    with pytest.raises(refused, match=r"has written into a tensor that is used again"):
        fb.onnx.export(Applied(written), (x,))
    with pytest.raises(fb.onnx.OnnxExporterError, match="data-dependent"):
        fb.onnx.export(Applied(lambda x: x if x.sum() > 0 else -x), (x,))
    with pytest.raises(ValueError, match="Unsupported ONNX opset version: 9"):
        fb.onnx.export(nn.ReLU(), (x,), opset_version=9)
    for option in (
        {"report": True},
        {"export_params": False},
        {"operator_export_type": fb.onnx.OperatorExportTypes.ONNX_ATEN},
    ):
        with pytest.raises(NotImplementedError, match=next(iter(option))):
            fb.onnx.export(nn.ReLU(), (x,), **option)
    fb.onnx.register_custom_op_symbolic("a::b", None, 9)
    told = str(fb.onnx.errors.UnsupportedOperatorError("a::b", 17, None))
    assert "is not supported: the form that was registered for it belongs to TorchScript's exporter" in told
    fb.onnx.unregister_custom_op_symbolic("a::b", 9)


def test_a_module_that_knows_its_example() -> None:
    class Scaled(fb.onnx.ExportableModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x: fb.Tensor, scale: fb.Tensor) -> fb.Tensor:
            return self.layer(x) * scale

        def example_arguments(self) -> tuple[tuple[fb.Tensor, ...], dict[str, fb.Tensor]]:
            return (fb.ones(4, 3),), {"scale": fb.full((1,), 2.0)}

        def input_names(self) -> tuple[str, ...]:
            return "rows", "scale"

        def dynamic_shapes(self) -> dict[str, object]:
            return {"x": {0: "batch"}, "scale": None}

    module, x = Scaled(), fb.randn(5, 3)
    for made in (fb.onnx.export(module), module.to_onnx(output_names=["scaled"])):
        assert [i.name for i in made.model_proto.graph.input] == ["rows", "scale"]
        np.testing.assert_allclose(
            made(x, fb.ones(1))[0].numpy(), module.layer(x).detach().numpy(), rtol=1e-5, atol=1e-6
        )
    assert made.model_proto.graph.output[0].name == "scaled"
    with pytest.raises(TypeError, match="abstract"):
        fb.onnx.ExportableModule()
