"""What arguments mean that many functions share. A function's help names all its arguments: those that its own text does not
explain are explained from here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent

_WRITTEN = """
A: a matrix, or a batch of matrices in the last two dimensions.
accumulate: add to what is there instead of replacing it.
activation: 'relu', 'gelu', or a function of a tensor.
add_bias_kv: a learned key and value beside those of the input.
add_zero_attn: a key and value of zeros beside those of the input.
adjust_lr_fn: how the learning rate depends on a matrix's shape: 'original' or 'match_rms_adamw'.
affine: a learned weight and bias for each channel.
align_corners: put the centres of the corner pixels of input and output on each other.
alpha: a factor of the last summand.
amsgrad: divide by the greatest of the running squares so far (Reddi et al., 2018).
anchor: the samples that the others are compared with.
anneal_strategy: 'cos' or 'linear'.
approximate: 'none' for the exact function, 'tanh' for the approximation by tanh.
assume_unique: say that no value comes twice, which saves looking.
atol: the absolute tolerance.
average_attn_weights: the weights' mean over the heads.
averaging_const: how much of the observed range a new one replaces.
axis0: one of the two dimensions.
axis1: the other dimension.
B: the right-hand sides, as the columns of a matrix or of a batch of matrices.
b_hh: the bias of the hidden state's product.
b_ih: the bias of the input's product.
base_lr: the least learning rate.
base_momentum: the least momentum.
batch_first: the batch is the first dimension of input and output, time the second.
beta: a factor of the first summand, or where a smooth function gives way to another.
beta2_decay: the exponent with which the running squares forget.
betas: what remains of the running mean of the gradients, and of their squares, at each step.
bias: added to each output channel or feature; None for nothing.
bias_g: give the gradient by the bias.
bidirectional: run over the sequence both ways, and join the results.
blank: the class that stands for no label.
capturable: taken for PyTorch's sake; the step has the same result.
ccol_indices: where each column's elements begin, and their number at the end.
ceil_mode: count windows that go beyond the end, too.
center: put the middle of each frame at its time, with padding at both ends.
centered: divide by the gradients' variance instead of their squares.
ch_axis: the dimension of the channels.
check_invariants: look whether indices and sizes fit together.
col_indices: the column of each element.
col_offsets: the sums of the packed weight's rows.
contraction_dim: the dimensions that are summed over.
copy: give a tensor of its own.
count: how many.
count_include_pad: count the zeros of the padding as values.
crow_indices: where each row's elements begin, and their number at the end.
cudnn_enabled: taken for PyTorch's sake; there is no cuDNN to choose here.
custom_decoder: a module in the decoder's place.
custom_encoder: a module in the encoder's place.
cutoffs: where the clusters of classes begin.
cx_: the cell's state.
cycle_momentum: momentum goes down where the learning rate goes up.
d: an update whose root mean square is greater is scaled down to it.
d_model: the number of features.
dampening: how much of a gradient is kept out of the momentum.
decoupled_weight_decay: shrink the parameters themselves instead of adding to the gradient.
density: divide by the number of values and the bins' sizes.
descending: the greatest value first.
descr: what to call it.
destination: the dimensions' new places.
device: where the result lives; the default device, or the input's, if None.
device_ids: the devices.
device_type: the kind of device.
differentiable: record the step, so that it can be differentiated.
dilation: the distance of neighbouring elements of a window.
dim: the dimension, or several; a negative one counts from the end.
dim0: one of the two dimensions.
dim1: the first of two dimensions.
dim2: the second of two dimensions.
dim_feedforward: the size of the hidden layer.
dimension: the dimension; a negative one counts from the end.
dims: dimensions, or sizes.
distance_function: a function of two tensors that gives their distance.
div_factor: the first learning rate is the greatest one divided by this.
div_value: each cluster's size is that of the one before divided by this.
divisor_override: what to divide by instead of the number of values in a window.
downscale_factor: how many times as small.
driver: which of LAPACK's routines to use.
dropout: the probability with which a value is dropped in training.
dropout_p: the probability with which a value is dropped.
dtype: the result's kind of numbers; from the input, or the default one, if None.
elementwise_affine: a learned weight, and bias, for each element.
embed_dim: the number of features of queries and results.
embed_dim_to_check: the size that the queries should have.
embedding_dim: the size of a row.
enabled: do nothing if False.
end: where to stop.
end_factor: the factor at the end.
eps: added to what is divided by, so that it is not 0.
equal_nan: two nan count as equal.
eta_min: the least learning rate.
etas: how much a step shrinks and grows.
ext_tensor: an object with `__dlpack__`, or a capsule of it.
factor: what the learning rate is multiplied by.
filename: the file.
fill_value: the value of every element.
final_div_factor: the last learning rate is the first one divided by this.
foreach: taken for PyTorch's sake; a step updates all parameters together here.
full: add the terms that do not depend on the input.
fused: taken for PyTorch's sake; a step is one program here.
fweights: how often each observation counts.
gamma: what the learning rate is multiplied by.
generator: where random numbers come from; the default generator if None.
grad_out: the gradient by the output.
groups: how many groups of channels, which do not see each other.
has_biases: the layer has biases.
head_bias: a bias for the head.
hermitian: the matrix equals its conjugate transpose: only its lower triangle is looked at.
hidden_size: the size of a hidden state.
history_size: how many steps are remembered.
hop_length: the distance of neighbouring frames.
hx_: the hidden state.
ignore_index: a target that counts for nothing.
implicit: broadcast without being told so.
in1_features: the size of the first input's last dimension.
in2_features: the size of the second input's last dimension.
in_channels: the input's channels.
in_features: the size of the input's last dimension.
in_proj_bias: the bias of the three projections.
in_proj_weight: the weight of the three projections, one below the other.
include_last_offset: the last of `offsets` is the end.
increasing: the powers go upwards.
index: integers: which elements.
indices: integers: which elements.
indices_or_sections: how many parts, or where to cut.
initial_accumulator_value: what the sums of squares begin with.
inplace: write the result into the input.
input: the tensor to compute with.
input1: the first of two inputs.
input2: the second of two inputs.
input_g: give the gradient by the input.
input_lengths: how long each input sequence is.
input_size: the number of features of the input.
interpolation_mode: 0 bilinear, 1 nearest, 2 bicubic.
invstd: one over the standard deviation.
is_coalesced: say that no place comes twice, and that they are in order.
K: the rows of the matrix.
k: added to the sum of squares.
k_proj_weight: the weight of the keys' projection.
kdim: the number of features of keys; `embed_dim` if None.
keepdim: leave a dimension of size 1 in the place of each that is reduced.
kernel_size: the size of a window; a number stands for it in every dimension.
label_smoothing: the part of each target that is spread evenly over all classes.
lambd: how far values are moved, or forgotten.
last_epoch: the number of the last epoch; -1 at the beginning.
layer_norm_eps: added to the variance that layer norms divide by.
layout: `torch.strided`, or one of the sparse layouts.
LD: L and D in one matrix, as `ldl_factor` gives them.
left: the matrix stands to the left of the unknown.
length: how many elements.
line_search_fn: None or 'strong_wolfe'.
log_input: the input is the logarithm of what is meant.
log_probs: logarithms of probabilities.
log_target: the target is given by logarithms.
logits: log-odds or scores, of any size.
lower: look at the lower triangle.
lr: the learning rate.
lr_decay: how much the learning rate falls with the steps.
lr_lambda: a function of the epoch's number that gives a factor, or one for each group.
LU: L and U in one matrix, as `lu_factor` gives them.
LU_data: L and U in one matrix, as `lu_factor` gives them.
LU_pivots: the exchanges of rows, counted from 1, as `lu_factor` gives them.
M: how many values the window has.
margin: how far apart the two should be.
mask: bools: which elements.
mat1: the first matrix.
mat2: the second matrix.
mat_a: the first matrix.
mat_b: the second matrix.
matrices: matrices of fitting shapes.
max_eval: the most evaluations in a step.
max_iter: the most iterations in a step.
max_lr: the greatest learning rate.
max_momentum: the greatest momentum.
max_norm: rows that are longer are shortened to this length.
maximize: go up instead of down.
mean: the mean.
memory_format: the order of the result's dimensions in memory.
method: which way to compute it.
milestones: the epochs at which something changes.
minlength: the least number of counts.
mode: which of several ways.
modules: modules.
momentum: how much of the running statistics a new value replaces.
momentum_decay: how the momentum grows with the steps.
N: the columns of the matrix.
n: how many.
n_classes: how many classes.
n_fft: the length of a transform.
name: a name.
ndarray: a NumPy array, whose memory is shared.
ndim: how many dimensions.
need_weights: give the attention's weights, too.
negative: the samples that should be far.
negative_slope: the slope below 0.
nesterov: look ahead along the momentum.
new_state: the state, as `get_rng_state` gives it.
nhead: how many heads.
niter: how often to iterate.
nonlinearity: 'tanh' or 'relu'.
norm_first: normalize before each part instead of after it.
norm_type: the p of the p-norm.
normalized: divide by the square root of the length.
normalized_shape: the last dimensions, over which is normalized.
ns_coefficients: the coefficients of the Newton-Schulz iteration.
ns_steps: how often it iterates.
num_channels: the number of channels.
num_chunks: how many gates there are.
num_classes: how many classes.
num_decoder_layers: how many layers the decoder has.
num_embeddings: how many rows there are.
num_encoder_layers: how many layers the encoder has.
num_features: the number of channels.
num_groups: into how many groups the channels are cut.
num_heads: how many heads.
num_layers: how many layers, each on the outputs of the one before.
num_samples: how many to draw.
offs: where each group ends.
offset: which diagonal: above the main one if positive, below if negative.
offsets: where each bag begins.
onesided: half of the frequencies, from which the rest follows.
optimizer: the optimizer whose learning rates are set.
ord: the order of the norm.
order: the order.
ortho_bparams: settings of the orthogonalization that are bools.
ortho_fparams: settings of the orthogonalization that are numbers.
ortho_iparams: settings of the orthogonalization that are whole numbers.
other: the second operand; a tensor, or a number.
out: a tensor that gets the result.
out_channels: the output's channels.
out_dtype: the result's dtype.
out_features: the size of the output's last dimension.
out_int32: indices as int32 instead of int64.
out_proj_bias: the bias of the last projection.
out_proj_weight: the weight of the last projection.
output_device: the device of the result.
output_dtype: the result's dtype.
output_padding: added to one side of the output's size.
output_ratio: the output's size as a part of the input's.
output_size: the size of the output; a number stands for it in every dimension.
p: a probability, or the p of the p-norm.
packed: the packed weight.
packed_weight: the packed weight.
pad_mode: how to fill what is beyond the ends.
padding: how much is added on both sides of each dimension.
padding_idx: the row that gets no gradient.
padding_mode: what stands for places outside, by name.
parameters: parameters.
params: parameters, or dicts with 'params' and options of a group.
patience: how many epochs without improvement are borne.
per_row_fake_quant: a scale for each channel.
per_sample_weights: a factor for each index.
periodic: the window of a periodic signal, whose last value would be the first one again.
pin_memory: taken for PyTorch's sake; memory is not pinned here.
pivot: exchange rows for accuracy.
pivots: the exchanges of rows, counted from 1.
pos_weight: a factor of the positive examples for each class.
positive: the samples that should be near.
power: the exponent.
process_group: the processes among which is averaged.
proj_size: the size of the projected hidden state; 0 for none.
q_proj_weight: the weight of the queries' projection.
quant_max: the greatest whole number.
quant_min: the least whole number.
rcond: singular values below this part of the greatest one count as 0.
recompute_scale_factor: compute the scale again from the sizes that come out.
reduce: deprecated, see `reduction`.
reduction: 'mean' or 'sum' over all elements, or 'none'.
replacement: draw the same one more than once.
requires_grad: record what is done with the result.
return_complex: complex numbers as the result.
return_counts: how often each came, too.
return_indices: where the values came from, too.
return_inverse: where each element went, too.
rho: what remains of the running squares at each step.
rounding_mode: None, 'trunc' (towards 0) or 'floor' (downwards).
row_indices: the row of each element.
rtol: the relative tolerance.
running_max: the greatest value so far.
running_mean: the running mean of each channel; written to in training.
running_min: the least value so far.
running_var: the running variance of each channel; written to in training.
scale_a: the factors of the first matrix.
scale_b: the factors of the second matrix.
scale_factor: how many times as large.
scale_grad_by_freq: divide a row's gradient by how often it is used.
scale_mode: 'cycle' or 'iterations': of what the scaling function is one.
scale_recipe_a: how the first matrix is cut into parts of one factor.
scale_recipe_b: how the second matrix is cut into parts of one factor.
schedulers: the schedules.
sections: how many parts, or where to cut.
self: the tensor to compute with.
shape: the shape.
side: 'left' or 'right': before or after equal values.
size: the shape.
size_average: deprecated, see `reduction`.
sizes: the shape.
sorted: in order.
source: where values come from.
sparse: give a sparse gradient.
sparse_grad: give a sparse gradient.
split_size: how long a part is.
split_size_or_sections: how long a part is, or each of them.
split_sizes: how long each part is.
src: where values come from.
stable: equal values keep their order.
start: where to begin.
start_factor: the factor at the beginning.
std: the standard deviation.
step: the distance of neighbouring values.
step_size: the epochs between two changes.
step_size_down: how many steps it goes down.
step_size_up: how many steps it goes up.
step_sizes: the least and the greatest step.
steps: how many values.
storage_offset: where in memory to begin, in elements.
stride: the distance of neighbouring windows, or of neighbouring elements in memory.
sum_dy: the sum of the gradient by the output.
sum_dy_xmu: the sum of that gradient times the distance from the mean.
swap: take the nearer one of anchor and positive as the place to measure from.
swizzle_a: the order of the first matrix's factors in memory.
swizzle_b: the order of the second matrix's factors in memory.
sym: a symmetric window, for filters; otherwise a periodic one, for spectra.
symmetric_quant: the same range on both sides of 0.
t0: the step at which averaging begins.
T_0: the first period, in steps.
T_max: half a period, in steps.
T_mult: how much longer each period is than the one before.
target: what should come out.
target_lengths: how long each target is.
targets: what should come out.
tau: the temperature.
tensor: the tensor.
tensors: tensors.
the_template: the tensor whose shape is taken.
theta: affine matrices.
threshold_mode: 'rel' or 'abs': how an improvement is measured.
tol: the tolerance.
total_iters: after how many steps nothing changes any more.
total_steps: how many steps there are.
track_running_stats: keep running statistics, which are used in evaluation.
train: compute as in training.
training: compute as in training.
unbiased: divide by one less than the number of values (Bessel's correction).
unitriangular: the diagonal is taken for ones.
unpack_data: give L and U.
unpack_pivots: give P.
UPLO: 'L' to look at the lower triangle only, 'U' at the upper one.
upper: look at, or give, the upper triangle.
upscale_factor: how many times as large.
use_fast_accum: taken for PyTorch's sake; sums are in full accuracy.
use_input_stats: take the statistics of the input, not the running ones.
use_separate_proj_weight: the three projections have a weight each.
v_proj_weight: the weight of the values' projection.
value: the value.
values: values.
vdim: the number of features of values; `embed_dim` if None.
vec1: the first vector.
vec2: the second vector.
w_hh: the weight of the hidden state's product.
w_ih: the weight of the input's product.
weight: the weight: of a layer, or a factor for each class.
weight0: the input's weight.
weight1: the hidden state's weight.
weight2: the input's bias.
weight3: the hidden state's bias.
weight_decay: how much of a parameter is added to its gradient, or taken off it.
weight_g: give the gradient by the weight.
weight_scale: what one step of the weight's whole numbers stands for.
weight_zero_point: the whole number of the weight that stands for 0.
win_length: how long a frame is.
window: what each frame is multiplied by.
window_length: how many values the window has.
with_replacement: take the same one more than once.
x: the tensor to compute with.
y: the second operand.
zero_infinity: losses that are infinite, and their gradients, become 0.
zero_point: the whole number that stands for 0.
"""
GLOSSARY = dict(line.split(": ", 1) for line in _WRITTEN.strip().splitlines())


def blocks(file: str, mark: str) -> Iterator[tuple[list[str], list[str]]]:
    """The blocks of a file: the names after a mark, and the lines that are not empty up to the next."""
    names: list[str] = []
    lines: list[str] = []
    for line in (_FOLDER / file).read_text("utf-8").splitlines():
        if line.startswith(mark):
            if names:
                yield names, lines
            names, lines = line[len(mark) :].split(), []
        elif names and line.strip():
            lines.append(line)
    if names:
        yield names, lines


_OF_CLASSES = GLOSSARY | {
    "bias": "add a learned number to each output.",
    "device": "where parameters and buffers live; the default device if None.",
    "dtype": "the parameters' dtype; the default one if None.",
    "weight": "a factor for each class.",
    "_weight": "the rows, in place of drawn ones.",
    "_freeze": "the rows do not ask for gradients.",
    "_random_samples": "where the windows lie, in place of drawn numbers.",
    "options": "how it is cut into parts.",
}


@functools.cache
def _meanings() -> dict[tuple[str, str], str]:
    """What names mean in functions and namespaces where they mean something else."""
    parted = (
        (place, *line.split(": ", 1))
        for places, lines in blocks("meanings.txt", "@ ")
        for place in places
        for line in lines
    )
    return {(place, name): meaning for place, name, meaning in parted}


def arguments_of(function: Any, public: str, of: Any, own: str) -> list[str]:
    """A line for each argument that a function's own text does not explain; of a class (`of`), its `__init__` is the function."""
    signature, written = getattr(function, "__signature__", None), function
    while (inner := getattr(written, "__wrapped__", None)) is not None:
        written = inner
    code = getattr(written, "__code__", None)
    names: Iterable[str] = signature.parameters if signature is not None else ()
    if signature is None and code is not None:
        names = code.co_varnames[of is not None : code.co_argcount + code.co_kwonlyargcount]
    whole = public.removeprefix("torch.")
    namespace, _, short = whole.rpartition(".")
    places = (whole, namespace, short, whole.removesuffix("_"), short.removesuffix("_"), namespace.rpartition(".")[2])
    general = GLOSSARY if of is None else _OF_CLASSES
    special = _meanings()
    meanings = {
        name: next((special[place, name] for place in places if (place, name) in special), general.get(name))
        for name in names
    }
    return [f"{name}: {meaning}" for name, meaning in meanings.items() if meaning and f"`{name}`" not in own]


__all__ = ["GLOSSARY", "arguments_of", "blocks"]
