"""Every public operator has a sample: in torch's operator database, or a row here.

Rows are compared forward, by gradient and by the derivative's name (with `~` in front: but for that name).
"""

from __future__ import annotations

import pytest

import flambeau as fb
from flambeau.core.dispatch.operator import namespaces
from flambeau.ops.layers import kernel_forms
from flambeau.ops.making import quantized
from support.op_database import known, op_infos, ours
from support.rows import agree

ROWS = {
    "_amp_foreach_non_finite_check_and_unscale_": (
        "g = [t.ones(2), t.ones(())]; n = t.zeros(1); "
        "t._amp_foreach_non_finite_check_and_unscale_(g, n, t.full((1,), 0.5)); t.cat([g[0], g[1][None], n])"
    ),
    "_amp_update_scale_": "t._amp_update_scale_(t.full((1,), 4.0), t.zeros(1, dtype=t.int32), t.ones(1), 2.0, 0.5, 3)",
    "_sample_dirichlet": "t.manual_seed(3); t._sample_dirichlet(f(2, 3).exp().detach())",
    "_standard_gamma": "t.manual_seed(3); t._standard_gamma(f(2, 3).exp().detach())",
    "_log_softmax_backward_data": "~ t._log_softmax_backward_data(f(2, 3), f(2, 3).log_softmax(1), 1, t.float64)",
    "_lu_with_info": "~ t._lu_with_info(f(3, 3))",
    "frobenius_norm": "~ t.frobenius_norm(f(2, 3), [1])",
    "nuclear_norm": "~ t.nuclear_norm(f(2, 3))",
    "_weight_norm": "~ t._weight_norm(f(4, 3), f(4, 1), 0)",
    "addmv_": "t.addmv_(f(2) * 1, f(2, 3), f(3), beta=0.5)",
    "adjoint": "t.adjoint(c(2, 3))",
    "alpha_dropout": "t.alpha_dropout(f(2, 3), 0.5, False)",
    "as_tensor": "t.as_tensor([[1.5, 2], [3, 4]])",
    "asarray": "t.asarray([1, 2], dtype=t.float64, requires_grad=True)",
    "bartlett_window": "t.bartlett_window(6)",
    "batch_norm": "t.batch_norm(f(4, 3), f(3), f(3), None, None, True, 0.1, 1e-5, False)",
    "binary_cross_entropy_with_logits": "t.binary_cross_entropy_with_logits(f(4), f(4).sigmoid())",
    "binomial": "t.manual_seed(3); t.binomial(t.tensor([5.0, 20]), t.tensor([0.3, 0.8]))",
    "blackman_window": "t.blackman_window(6, periodic=False)",
    "celu": "t.celu(f(2, 3), 0.5)",
    "chain_matmul": "~ t.chain_matmul(f(2, 3), f(3, 4), f(4, 2))",
    "cosine_embedding_loss": "t.cosine_embedding_loss(f(2, 3), f(2, 3), t.tensor([1, -1]), 0.1)",
    "detach": "t.detach(f(3))",
    "dropout": "t.dropout(f(2, 3), 0.5, False)",
    "embedding": "t.embedding(f(4, 3), i([[1, 1], [0, 3]]), 0)",
    "feature_alpha_dropout": "t.feature_alpha_dropout(f(2, 3, 4), 0.5, False)",
    "feature_dropout": "t.feature_dropout(f(2, 3, 4), 0.5, False)",
    "fft.fftfreq": "t.fft.fftfreq(5, 0.5)",
    "fft.rfftfreq": "t.fft.rfftfreq(6, 0.5)",
    "fill_": "t.fill_(f(2, 3) * 1, 2.5)",
    "fill_diagonal_": "(f(4, 3) * 1).fill_diagonal_(2.5)",
    "from_dlpack": "t.from_dlpack(f(3).detach())",
    "from_numpy": "import numpy; t.from_numpy(numpy.arange(6.0).reshape(2, 3))",
    "frombuffer": "t.frombuffer(bytearray(range(8)), dtype=t.int16)",
    "hamming_window": "t.hamming_window(6)",
    "hann_window": "t.hann_window(6)",
    "hinge_embedding_loss": "t.hinge_embedding_loss(f(4), t.tensor([1.0, -1, 1, -1]), 0.5)",
    "instance_norm": "t.instance_norm(f(2, 3, 4), f(3), f(3), None, None, True, 0.1, 1e-5, False)",
    "is_complex": "t.is_complex(c(2))",
    "is_conj": "t.is_conj(f(2))",
    "is_floating_point": "t.is_floating_point(f(2))",
    "is_neg": "t.is_neg(f(2))",
    "is_nonzero": "t.is_nonzero(f(1))",
    "is_same_size": "t.is_same_size(f(2, 3), f(2, 3))",
    "_has_compatible_shallow_copy_type": "t._has_compatible_shallow_copy_type(f(2, 3), f(2, 3).to_sparse())",
    "is_signed": "t.is_signed(i([1]))",
    "is_tensor": "t.is_tensor(f(2))",
    "kaiser_window": "t.kaiser_window(6, True, 8.0)",
    "kl_div": "t.kl_div(f(2, 3), f(2, 3).exp(), 2)",
    "margin_ranking_loss": "t.margin_ranking_loss(f(4), f(4), t.tensor([1.0, -1, 1, -1]), 0.1)",
    "nn.functional.dropout1d": "t.nn.functional.dropout1d(f(2, 3, 4), training=False)",
    "nn.functional.fold": "t.nn.functional.fold(f(2, 12, 6), (4, 5), (2, 3), stride=(2, 2), padding=(0, 1))",
    "nn.functional.gumbel_softmax": "t.manual_seed(3); t.nn.functional.gumbel_softmax(f(2, 3), 0.7)",
    "nn.functional.lp_pool1d": "t.nn.functional.lp_pool1d(f(2, 3, 6).exp(), 3.0, 2)",
    "nn.functional.lp_pool2d": "t.nn.functional.lp_pool2d(f(2, 3, 6, 4).exp(), 2.0, (2, 3), stride=1)",
    "nn.functional.lp_pool3d": "t.nn.functional.lp_pool3d(f(1, 2, 4, 4, 4).exp(), 2.0, 2)",
    "nn.functional.triplet_margin_with_distance_loss": (
        "t.nn.functional.triplet_margin_with_distance_loss(f(2, 3), f(2, 3), f(2, 3), "
        "distance_function=lambda x, y: (x - y).abs().sum(-1), swap=True)"
    ),
    "nn.functional.upsample": "t.nn.functional.upsample(f(1, 2, 3, 3), scale_factor=2, mode='bilinear')",
    "gru_cell": "~ t.gru_cell(f(2, 3), f(2, 4), f(12, 3), f(12, 4), f(12), f(12))",
    "lstm_cell": "~ t.lstm_cell(f(2, 3), (f(2, 4), f(2, 4)), f(16, 3), f(16, 4), f(16), f(16))",
    "rnn_relu_cell": "~ t.rnn_relu_cell(f(2, 3), f(2, 4), f(4, 3), f(4, 4), f(4), f(4))",
    "rnn_tanh_cell": "~ t.rnn_tanh_cell(f(2, 3), f(2, 4), f(4, 3), f(4, 4), f(4), f(4))",
    "native_dropout": "t.manual_seed(3); t.native_dropout(f(2, 3), 0.5, True)",
    "norm_except_dim": "~ t.norm_except_dim(f(4, 3), 2, 0)",
    "numel": "t.numel(f(2, 3))",
    "poisson": "t.manual_seed(3); t.poisson(f(2, 3).exp().detach())",
    "poisson_nll_loss": "t.poisson_nll_loss(f(4), f(4).exp(), True, True, 1e-8, 1)",
    "rand": "t.manual_seed(3); t.rand(2, 3)",
    "randperm": "t.manual_seed(3); t.randperm(9)",
    "range": "t.range(1, 4, 0.5)",
    "relu": "t.relu(f(2, 3))",
    "selu": "t.selu(f(2, 3))",
    "tensor": "t.tensor([[1.5, 2], [3, 4]], requires_grad=True)",
    "threshold": "t.threshold(f(2, 3), 0.1, 20.0)",
    "to": "f(2, 3).to(t.float32)",
    "triplet_margin_loss": "t.triplet_margin_loss(f(2, 3), f(2, 3), f(2, 3), swap=True)",
    "vander": "~ t.vander(f(3).detach(), 3, increasing=True)",
    **{
        name: f"t.{name}(f(2, 3).sigmoid() * 1)"
        for name in (
            "abs_ acos_ arccos_ arcsin_ arctan_ asin_ atan_ ceil_ conj_physical_ cos_ cosh_ "
            "deg2rad_ detach_ erf_ erfc_ exp_ exp2_ expm1_ fix_ floor_ frac_ i0_ log_ log10_ log1p_ log2_ logit_ nan_to_num_ "
            "neg_ negative_ rad2deg_ reciprocal_ round_ rsqrt_ sigmoid_ sin_ sinc_ sinh_ sqrt_ square_ tan_ tanh_ trunc_"
        ).split()
    },
    # torch has no derivatives of these
    **{n: f"t.{n}(f(2, 3).detach().sigmoid())" for n in ("asinh_", "arcsinh_", "atanh_", "arctanh_")},
    **{n: f"t.{n}(f(2, 3).detach().exp() + 1)" for n in ("acosh_", "arccosh_")},
    "alpha_dropout_": "t.alpha_dropout_(f(2, 3) * 1, 0.5, False)",
    "as_strided_": "t.as_strided_(f(2, 3) * 1, (2, 2), (1, 2))",
    "celu_": "t.celu_(f(2, 3) * 1)",
    "clamp_": "t.clamp_(f(2, 3) * 1, -0.5, 0.5)",
    "clamp_max_": "t.clamp_max_(f(2, 3) * 1, 0.5)",
    "clamp_min_": "t.clamp_min_(f(2, 3) * 1, -0.5)",
    "clip_": "t.clip_(f(2, 3) * 1, -0.5, 0.5)",
    "dropout_": "t.dropout_(f(2, 3) * 1, 0.5, False)",
    "feature_alpha_dropout_": "t.feature_alpha_dropout_(f(2, 3, 4) * 1, 0.5, False)",
    "feature_dropout_": "t.feature_dropout_(f(2, 3, 4) * 1, 0.5, False)",
    "gcd_": "t.gcd_(i([12, 18]), i([8, 27]))",
    "index_put_": "t.index_put_(f(4, 3) * 1, [i([0, 2])], f(2, 3))",
    "unsafe_split_with_sizes": "~ t.unsafe_split_with_sizes(f(4, 2), [1, 3])",
    "special.gammainc": "t.special.gammainc(f(3).exp().detach(), f(3).exp())",
    "special.gammaincc": "t.special.gammaincc(f(3).exp().detach(), f(3).exp())",
    "max_pool1d": "t.max_pool1d(f(1, 2, 6), 2)",
    "max_pool2d": "t.max_pool2d(f(1, 2, 6, 4), 2)",
    "max_pool3d": "t.max_pool3d(f(1, 2, 4, 4, 4), 2)",
    "rrelu": "~ t.rrelu(f(2, 3))",
    "slogdet": "t.slogdet(f(3, 3))",
    "lcm_": "t.lcm_(i([12, 18]), i([8, 27]))",
    "ldexp_": "t.ldexp_(f(3) * 1, i([1, 2, 3]))",
    "relu_": "t.relu_(f(2, 3) * 1)",
    "rrelu_": "t.rrelu_(f(2, 3) * 1)",
    "selu_": "t.selu_(f(2, 3) * 1)",
    "threshold_": "t.threshold_(f(2, 3) * 1, 0.1, 20.0)",
    "xlogy_": "t.xlogy_(f(2, 3) * 1, f(2, 3).exp())",
    **{f"nn.functional.{n}": f"t.nn.functional.{n}(f(2, 3) * 1)" for n in ("relu_", "elu_", "selu_", "celu_")},
    "nn.functional.hardtanh_": "t.nn.functional.hardtanh_(f(2, 3) * 1, -0.5, 0.5)",
    "nn.functional.leaky_relu_": "t.nn.functional.leaky_relu_(f(2, 3) * 1, 0.1)",
    "nn.functional.rrelu_": "t.nn.functional.rrelu_(f(2, 3) * 1, 0.2, 0.4)",
    "nn.functional.threshold_": "t.nn.functional.threshold_(f(2, 3) * 1, 0.1, 20.0)",
    "ctc_loss": "t.ctc_loss(f(6, 2, 4).log_softmax(2), i([[1, 2], [3, 3]]), (6, 5), (2, 1), reduction=1)",
    "grid_sampler": "t.grid_sampler(f(1, 1, 3, 3), f(1, 2, 2, 2), 0, 2, False)",
    "affine_grid_generator": "t.affine_grid_generator(f(1, 2, 3), (1, 1, 2, 2), False)",
    "nn.functional.affine_grid": "t.nn.functional.affine_grid(f(1, 3, 4), (1, 1, 2, 2, 3), align_corners=True)",
    "nn.functional.grouped_mm": "~ t.nn.functional.grouped_mm(h(2, 8, 16), h(2, 16, 8)).sum() * 0",
    "max_pool1d_with_indices": "t.max_pool1d_with_indices(f(1, 2, 6), 2)",
    "adaptive_max_pool1d": "t.adaptive_max_pool1d(f(1, 2, 6), 2)",
    "native_channel_shuffle": "t.native_channel_shuffle(h(1, 4, 2), 2)",
    "nn.functional.native_channel_shuffle": "t.nn.functional.native_channel_shuffle(h(1, 4, 2), 2)",
    **{f"{s}conv_tbc": f"t.{s}conv_tbc(f(5, 2, 3), f(3, 3, 4), f(4), 1)" for s in ("", "nn.functional.")},
    **{
        f"nn.functional.{k}max_pool{n}d_with_indices": f"t.nn.functional.{k}max_pool{n}d_with_indices(f(1, 2, {', '.join('6' * n)}), 2)"
        for k in ("", "adaptive_")
        for n in (1, 2, 3)
    },
    **{
        f"nn.functional.fractional_max_pool{n}d_with_indices": f"t.nn.functional.fractional_max_pool{n}d_with_indices("
        f"f(1, 2, {', '.join('6' * n)}), 2, (2,) * {n}, _random_samples=f(1, 2, {n}).detach().sigmoid())"
        for n in (2, 3)
    },
}

NO_OPERATORS = {  # public beside the operators, or tested elsewhere
    *(name for name in dir(fb) if name.startswith("_foreach_")),  # every form that torch has, in ops/test_foreach.py
    "_neg_view",  # refused by name: see names/test_further_names.py
    "_dirichlet_grad", "_standard_gamma_grad",  # exact where torch's are fitted, so compared in distributions/
    "eig", "lobpcg", "lstsq", "matrix_rank", "solve", "symeig",  # in ops/test_factorizations.py
    "batch_norm_update_stats", "col_indices_copy", "convolution", "crow_indices_copy", "detach_copy", "embedding_bag",
    "embedding_renorm_", "fake_quantize_per_channel_affine", "fake_quantize_per_tensor_affine", "fused_moving_avg_obs_fake_quant",
    "indices_copy", "segment_reduce", "select_copy", "slice_copy", "slice_inverse", "split_copy", "values_copy",
    "view_as_complex_copy", "view_as_real_copy",  # in ops/test_native_forms.py
    "_pack_padded_sequence", "_pad_packed_sequence", "gru", "lstm", "rnn_relu", "rnn_tanh",  # in nn/test_rnn.py
    "dsmm", "hsmm", "hspmm", "smm", "spmm", "sparse.addmm", "sparse.log_softmax", "sparse.softmax", "sparse.spdiags", "sparse.sum",
    "sparse_bsc_tensor", "sparse_bsr_tensor", "sparse_compressed_tensor", "sparse_csc_tensor", "ccol_indices_copy", "row_indices_copy",
    "resize_as_sparse_", "saddmm", "sspaddmm", "_convert_indices_from_coo_to_csr", "_convert_indices_from_csr_to_coo",
    *(f"_cast_{kind}" for kind in "Byte Char Double Float Half Int Long Short".split()), "_shape_as_tensor",  # in names/
    "sparse.mm", "sparse.sampled_addmm", "sparse_coo_tensor", "sparse_csr_tensor",  # in ops/test_sparse.py
    "nn.functional.scaled_mm", "nn.functional.scaled_grouped_mm", "_scaled_mm", "_int_mm", "_weight_int8pack_mm", "_grouped_mm",
    "linalg.LinAlgError", "Generator", "default_generator", "manual_seed", "seed", "initial_seed", "get_rng_state",
    "set_rng_state", "random.Generator", "random.default_generator", "random.manual_seed", "random.seed",
    "_assert", "_assert_async", "from_file", "random.initial_seed", "random.get_rng_state", "random.set_rng_state", "random.fork_rng",
    "qscheme", *quantized.SCHEMES, *quantized.REFUSED, "dequantize", "get_device", "is_distributed", "is_inference",
    "is_vulkan_available",  # in core/test_small_names.py
    *(vars(kernel_forms).keys() & namespaces["torch"].keys()),  # in names/test_libtorch_names.py
}  # fmt: skip


def public() -> dict[str, object]:
    return {
        name if space == "torch" else f"{space}.{name}": function
        for space, functions in namespaces.items()
        for name, function in functions.items()
    }


def test_every_public_operator_has_a_sample() -> None:
    with_sample = {op_infos()[key].name for key in known()} | {a.name for k in known() for a in op_infos()[k].aliases}
    functions = {id(ours(key)) for key in known()}
    without = {n for n, f in public().items() if n not in with_sample and id(f) not in functions}
    assert without - NO_OPERATORS - ROWS.keys() == set(), "operators without a sample: write a row for them"
    assert {n for n in ROWS if n not in public()} <= {"to"}, "rows of operators that are none"


@pytest.mark.parametrize("name", ROWS)
def test_row(name: str) -> None:
    row = ROWS[name]  # (a derivative of an in-place form has a number of its own in torch)
    agree(row.removeprefix("~ "), names=not (row.startswith("~ ") or name.endswith("_")))
