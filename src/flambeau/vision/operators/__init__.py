"""The operators that the real torchvision has in C++, in plain array code: its Python part then runs on flambeau as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..._library.supplied import supply
from ...core.autograd.engine import grad
from ...core.context.grad_mode import enable_grad
from ...core.dispatch.operator import namespaces
from ...ops.making.ranges import arange
from . import boxes, deformable, images, regions

_REGION = "float spatial_scale, SymInt pooled_height, SymInt pooled_width"
_SIZES = "SymInt batch_size, SymInt channels, SymInt height, SymInt width"
_STEPS = (
    "SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, SymInt groups, "
    "SymInt offset_groups, bool use_mask"
)
_DEFORMED = "Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, " + _STEPS


def _backward_of(function: Callable[..., Any], leaves: int, gradient_at: int = 0) -> Callable[..., Any]:
    """The gradients by the first `leaves` arguments, from a gradient of the (first) result and the arguments."""

    def backward(gradient: Any, *args: Any) -> Any:
        inputs = [tensor.detach().requires_grad_() for tensor in args[:leaves]]
        with enable_grad():
            result = function(*inputs, *args[leaves:])
        made = grad(result[0] if isinstance(result, tuple) else result, inputs, gradient, allow_unused=True)
        made = tuple(g if g is not None else t.new_zeros(t.shape) for g, t in zip(made, inputs, strict=True))
        return made if leaves > 1 else made[0]

    return backward


def _region_backward(function: Callable[..., Any], sizes_at: int, held: int) -> Callable[..., Any]:
    """Such a gradient where the input is known by its sizes, `sizes_at`, and `held` arguments are not needed for it."""
    pull = _backward_of(function, 1)

    def backward(gradient: Any, rois: Any, *rest: Any) -> Any:
        rest = rest[held:]
        sizes, options = rest[sizes_at : sizes_at + 4], rest[:sizes_at] + rest[sizes_at + 4 :]
        return pull(gradient, gradient.new_zeros(tuple(sizes)), rois, *options)

    return backward


def _pool_backward(gradient: Any, rois: Any, argmax: Any, *rest: Any) -> Any:
    """Each bin's gradient goes to the pixel that was its largest."""
    batch, channels, height, width = rest[3:]
    taken = (argmax >= 0).to(gradient.dtype)
    places = argmax.clamp(min=0).long() + (arange(channels) * (height * width)).view(1, -1, 1, 1)
    image = (rois[:, 0].long() * (channels * height * width)).view(-1, 1, 1, 1)
    flat = gradient.new_zeros(batch * channels * height * width)
    return flat.index_add(0, (places + image).flatten(), (gradient * taken).flatten()).view(
        batch, channels, height, width
    )


_OPERATORS: dict[str, tuple[str, Callable[..., Any]]] = {
    "nms": ("(Tensor dets, Tensor scores, float iou_threshold) -> Tensor", boxes.nms),
    "box_iou_rotated": ("(Tensor boxes1, Tensor boxes2) -> Tensor", boxes.box_iou_rotated),
    "roi_align": (
        f"(Tensor input, Tensor rois, {_REGION}, int sampling_ratio, bool aligned) -> Tensor",
        regions.roi_align,
    ),
    "roi_pool": (f"(Tensor input, Tensor rois, {_REGION}) -> (Tensor, Tensor)", regions.roi_pool),
    "ps_roi_align": (
        f"(Tensor input, Tensor rois, {_REGION}, int sampling_ratio) -> (Tensor, Tensor)",
        regions.ps_roi_align,
    ),
    "ps_roi_pool": (f"(Tensor input, Tensor rois, {_REGION}) -> (Tensor, Tensor)", regions.ps_roi_pool),
    "deform_conv2d": (f"({_DEFORMED}) -> Tensor", deformable.deform_conv2d),
    "_roi_align_backward": (
        f"(Tensor grad, Tensor rois, {_REGION}, {_SIZES}, int sampling_ratio, bool aligned) -> Tensor",
        _region_backward(regions.roi_align, 3, 0),
    ),
    "_roi_pool_backward": (f"(Tensor grad, Tensor rois, Tensor argmax, {_REGION}, {_SIZES}) -> Tensor", _pool_backward),
    "_ps_roi_align_backward": (
        f"(Tensor grad, Tensor rois, Tensor channel_mapping, {_REGION}, int sampling_ratio, {_SIZES}) -> Tensor",
        _region_backward(regions.ps_roi_align, 4, 1),
    ),
    "_ps_roi_pool_backward": (
        f"(Tensor grad, Tensor rois, Tensor channel_mapping, {_REGION}, {_SIZES}) -> Tensor",
        _region_backward(regions.ps_roi_pool, 3, 1),
    ),
    "_deform_conv2d_backward": (
        f"(Tensor grad, {_DEFORMED}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
        _backward_of(deformable.deform_conv2d, 5),
    ),
    "_cuda_version": ("() -> int", lambda: -1),
    "qnms": ("(Tensor dets, Tensor scores, float iou_threshold) -> Tensor", boxes.quantized),
    "qroi_align": (
        "(Tensor input, Tensor rois, float input_scale, int input_zero_point, float rois_scale, int rois_zero_point, "
        f"{_REGION}, int sampling_ratio, bool aligned) -> Tensor",
        boxes.quantized,
    ),
}
_IMAGES: dict[str, tuple[str, Callable[..., Any]]] = {
    "read_file": ("(str filename) -> Tensor", images.read_file),
    "write_file": ("(str filename, Tensor data) -> Tensor", images.write_file),
    "decode_png": ("(Tensor data, int mode, bool apply_exif_orientation=False) -> Tensor", images.decode_png),
    "decode_jpeg": ("(Tensor data, int mode, bool apply_exif_orientation=False) -> Tensor", images.decode_jpeg),
    "decode_image": ("(Tensor data, int mode, bool apply_exif_orientation=False) -> Tensor", images.decode_image),
    "decode_gif": ("(Tensor data) -> Tensor", images.decode_gif),
    "decode_webp": ("(Tensor encoded_data, int mode) -> Tensor", images.decode_webp),
    "encode_png": ("(Tensor data, int compression_level) -> Tensor", images.encode_png),
    "encode_jpeg": ("(Tensor data, int quality) -> Tensor", images.encode_jpeg),
}


def register() -> None:
    """Register all of them, once."""
    supply(torchvision=_OPERATORS, image=_IMAGES)
