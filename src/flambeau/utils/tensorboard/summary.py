"""One record of TensorBoard's each: what stands for a scalar, a histogram, a picture, a text."""

from __future__ import annotations

import io
import json
import wave
from typing import Any

import numpy as np
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor
from ._arrays import as_bytes, as_numpy, in_rows

__all__ = [
    "audio",
    "compute_curve",
    "custom_scalars",
    "draw_boxes",
    "half_to_int",
    "histogram",
    "histogram_raw",
    "hparams",
    "image",
    "image_boxes",
    "int_to_half",
    "make_histogram",
    "make_image",
    "make_video",
    "mesh",
    "pr_curve",
    "pr_curve_raw",
    "scalar",
    "tensor_proto",
    "text",
    "video",
]


_DTYPES = {"float32": (1, "float_val"), "float64": (2, "double_val"), "int32": (3, "int_val"), "uint8": (4, "uint32_val"),
           "int16": (5, "int_val"), "int8": (6, "int_val"), "complex64": (8, "scomplex_val"), "int64": (9, "int64_val"),
           "bool": (10, "bool_val"), "bfloat16": (14, "half_val"), "complex128": (18, "dcomplex_val"), "float16": (19, "half_val")}  # fmt: skip
_STRING = 7


def _shape(*sizes: int) -> TensorShapeProto:
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in sizes])


def _plugin(name: str, content: bytes = b"") -> SummaryMetadata:
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=name, content=content))


def _of_tensor(tag: str, tensor: TensorProto, plugin: str, content: bytes = b"") -> Summary:
    return Summary(value=[Summary.Value(tag=tag, tensor=tensor, metadata=_plugin(plugin, content))])


def _strings(*texts: bytes) -> TensorProto:
    return TensorProto(dtype=_STRING, string_val=list(texts), tensor_shape=_shape(len(texts)))


def tensor_proto(tag: str, tensor: Any) -> Summary:
    """A tensor's values. ValueError for a dtype that TensorBoard doesn't know."""
    name = str(getattr(tensor, "dtype", None) or as_numpy(tensor).dtype).rpartition(".")[2]
    if name not in _DTYPES:
        raise ValueError(message("tensor_dtype", tag=tag, dtype=tensor.dtype))
    kind, field = _DTYPES[name]
    values = as_numpy(tensor)
    flat = values.ravel()
    if field == "half_val":  # as PyTorch writes halves: the bits of the same numbers as float32
        flat = flat.astype(np.float32).view(np.int32)
    elif flat.dtype.kind == "c":
        flat = np.stack([flat.real, flat.imag], 1).ravel()
    made = TensorProto(dtype=kind, tensor_shape=_shape(*values.shape), **{field: flat.tolist()})
    return _of_tensor(tag, made, "tensor")


def scalar(name: str, tensor: Any, new_style: bool = False, double_precision: bool = False) -> Summary:
    """One number. AssertionError for more than one."""
    value = as_numpy(tensor).squeeze()
    if value.ndim != 0:
        raise AssertionError(message("scalar_one_element", size=value.size, dimensions=value.ndim))
    if not new_style:
        return Summary(value=[Summary.Value(tag=name, simple_value=float(value))])
    kind, field = _DTYPES["float64" if double_precision else "float32"]
    return _of_tensor(name, TensorProto(dtype=kind, **{field: [float(value)]}), "scalars")


# --- histograms ---------------------------------------------------------------------------------------------------------


def default_bins() -> list[float]:
    """TensorBoard's limits: from 1e-12 to 1e20, each a tenth above the one before, to both sides of zero."""
    limits, value = [], 1e-12
    while value < 1e20:
        limits.append(value)
        value *= 1.1
    return [-limit for limit in reversed(limits)] + [0.0] + limits


def _joined(counts: np.ndarray, limits: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` bins, neighbours added up."""
    step = len(counts) // most
    rest = len(counts) % step
    if rest:
        counts = np.pad(counts, (0, step - rest))
    counts = counts.reshape(-1, step).sum(-1)
    joined = np.empty(counts.size + 1, limits.dtype)
    joined[:-1] = limits[:-1][::step]
    joined[-1] = limits[-1]
    return counts, joined


def make_histogram(values: np.ndarray, bins: Any, max_bins: int | None = None) -> HistogramProto:
    """The counts of values in bins, of which neighbours are joined until there are `max_bins`. ValueError for no values."""
    if values.size == 0:
        raise ValueError("The input has no element.")
    values = values.reshape(-1)
    counts, limits = np.histogram(values, bins=bins)
    if max_bins is not None and len(counts) > max_bins:
        counts, limits = _joined(counts, limits, max_bins)
    filled = np.flatnonzero(counts)
    if not filled.size and len(counts) > 1:
        raise ValueError(message("histogram_empty"))
    first, last = (int(filled[0]), int(filled[-1]) + 1) if filled.size else (1, 1)
    # one empty bin before the first
    shown = np.concatenate([[0], counts[:last]]) if first == 0 else counts[first - 1 : last]
    edges = limits[first : last + 1]
    return HistogramProto(
        min=float(values.min()), max=float(values.max()), num=len(values), sum=float(values.sum()),
        sum_squares=float(values.dot(values)), bucket_limit=edges.tolist(), bucket=shown.tolist(),
    )  # fmt: skip


def histogram(name: str, values: Any, bins: Any, max_bins: int | None = None) -> Summary:
    """How values are distributed. ValueError for none."""
    return Summary(
        value=[Summary.Value(tag=name, histo=make_histogram(as_numpy(values).astype(float), bins, max_bins))]
    )


def histogram_raw(
    name: str, min: Any, max: Any, num: Any, sum: Any, sum_squares: Any, bucket_limits: Any, bucket_counts: Any
) -> Summary:
    """A histogram that was counted elsewhere."""
    made = HistogramProto(
        min=min, max=max, num=num, sum=sum, sum_squares=sum_squares, bucket_limit=bucket_limits, bucket=bucket_counts
    )
    return Summary(value=[Summary.Value(tag=name, histo=made)])


# --- pictures and sounds --------------------------------------------------------------------------------------------------


def make_image(tensor: np.ndarray, rescale: float = 1, rois: Any = None, labels: Any = None) -> Any:
    """`(H, W, C)` of bytes as a picture of TensorBoard's, with the rectangles of `rois` drawn on it."""
    from PIL import Image

    picture = Image.fromarray(tensor)
    if rois is not None:  # drawn before it is scaled, as in PyTorch
        draw_boxes(picture, rois, labels)
    if rescale != 1:
        size = int(tensor.shape[1] * rescale), int(tensor.shape[0] * rescale)
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, format="PNG")
    height, width, channels = tensor.shape  # before it was scaled, as in PyTorch
    return Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=file.getvalue())


def image(tag: str, tensor: Any, rescale: float = 1, dataformats: str = "NCHW") -> Summary:
    """An image, or several in a grid: bytes, or numbers between 0 and 1."""
    made = make_image(as_bytes(in_rows(as_numpy(tensor), dataformats)), rescale)
    return Summary(value=[Summary.Value(tag=tag, image=made)])


def image_boxes(
    tag: str, tensor_image: Any, tensor_boxes: Any, rescale: float = 1, dataformats: str = "CHW", labels: Any = None
) -> Summary:
    """An image with rectangles `x1, y1, x2, y2` drawn on it, each with its label."""
    rows = as_bytes(in_rows(as_numpy(tensor_image), dataformats))
    made = make_image(rows, rescale, as_numpy(tensor_boxes), labels)
    return Summary(value=[Summary.Value(tag=tag, image=made)])


def draw_boxes(disp_image: Any, boxes: Any, labels: Any = None) -> Any:
    """Draw rectangles `x1, y1, x2, y2`, each with its label, on a picture of Pillow's, which is returned."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(disp_image)
    for i, (left, top, right, bottom) in enumerate(boxes):
        draw.line([(left, top), (left, bottom), (right, bottom), (right, top), (left, top)], width=2, fill="Red")
        if labels is not None:
            _label(draw, labels[i], left, bottom)
    return disp_image


def _label(draw: Any, text: str, left: float, bottom: float) -> None:
    x1, y1, x2, y2 = draw.textbbox((0, 0), text)
    width, height = x2 - x1, y2 - y1
    margin = int(np.ceil(0.05 * height))
    draw.rectangle([(left, bottom - height - 2 * margin), (left + width, bottom)], fill="Red")
    draw.text((left + margin, bottom - height - margin), text, fill="black")


def video(tag: str, tensor: Any, fps: float = 4) -> Summary | None:
    """`(N, T, C, H, W)`, bytes or numbers between 0 and 1, as a moving GIF; the `N` side by side."""
    from ._arrays import grid

    frames = as_bytes(as_numpy(tensor))
    number, _, _, _, _ = frames.shape
    columns = 1 << ((number - 1).bit_length() + 1) // 2 if number > 1 else 1
    rows = np.stack([np.moveaxis(grid(frame, columns), 0, -1) for frame in np.moveaxis(frames, 1, 0)])
    return Summary(value=[Summary.Value(tag=tag, image=make_video(rows, fps))])


def make_video(tensor: np.ndarray, fps: float) -> Any:
    """Frames `(T, H, W, C)` of bytes as a moving picture of TensorBoard's."""
    from PIL import Image

    pictures = [Image.fromarray(frame) for frame in tensor]
    file = io.BytesIO()
    pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], duration=int(1000 / fps), loop=0)
    _, height, width, channels = tensor.shape
    return Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=file.getvalue())


def audio(tag: str, tensor: Any, sample_rate: int = 44100) -> Summary:
    """Sound between -1 and 1, one channel."""
    sound = as_numpy(tensor).squeeze()
    if abs(sound).max() > 1:
        print("warning: audio amplitude out of range, auto clipped.")
        sound = sound.clip(-1, 1)
    if sound.ndim != 1:
        raise AssertionError(f"input tensor should be 1 dimensional. It has {sound.ndim} dimensions")
    samples = (sound * np.iinfo(np.int16).max).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(sample_rate)
        written.writeframes(samples.tobytes())
    made = Summary.Audio(
        sample_rate=sample_rate, num_channels=1, length_frames=sound.shape[-1], encoded_audio_string=file.getvalue(),
        content_type="audio/wav",
    )  # fmt: skip
    return Summary(value=[Summary.Value(tag=tag, audio=made)])


# --- texts, parameters, curves ----------------------------------------------------------------------------------------


def text(tag: str, text: str) -> Summary:
    """A text, in Markdown."""
    return _of_tensor(tag + "/text_summary", _strings(text.encode()), "text")


def custom_scalars(layout: dict[str, dict[str, Any]]) -> Summary:
    """Which curves stand together: `{category: {title: ["Multiline" or "Margin", tags]}}`."""
    from tensorboard.plugins.custom_scalar import layout_pb2 as pb

    categories = []
    for category, charts in layout.items():
        made = []
        for title, (kind, tags) in charts.items():
            if kind == "Margin":
                if len(tags) != 3:
                    raise AssertionError(f"len(tags) != 3: the chart {title!r} needs value, lower and upper")
                series = pb.MarginChartContent.Series(value=tags[0], lower=tags[1], upper=tags[2])
                made.append(pb.Chart(title=title, margin=pb.MarginChartContent(series=[series])))
            else:
                made.append(pb.Chart(title=title, multiline=pb.MultilineChartContent(tag=list(tags))))
        categories.append(pb.Category(title=category, chart=made))
    tensor = TensorProto(
        dtype=_STRING, string_val=[pb.Layout(category=categories).SerializeToString()], tensor_shape=TensorShapeProto()
    )
    return _of_tensor("custom_scalars__config__", tensor, "custom_scalars")


def hparams(
    hparam_dict: dict[str, Any], metric_dict: dict[str, Any], hparam_domain_discrete: dict[str, list[Any]] | None = None
) -> tuple[Summary, Summary, Summary]:
    """Three records: which parameters and figures there are, the parameters' values, and that the run is over."""
    from google.protobuf.struct_pb2 import ListValue, Value
    from tensorboard.plugins.hparams import api_pb2 as api
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    for name, given in (("hparam_dict", hparam_dict), ("metric_dict", metric_dict)):
        if not isinstance(given, dict):
            raise TypeError(f"parameter: {name} should be a dictionary, nothing logged.")
    domains = hparam_domain_discrete or {}
    if not isinstance(domains, dict):
        raise TypeError("parameter: hparam_domain_discrete should be a dictionary, nothing logged.")
    for key, options in domains.items():
        known = key in hparam_dict and isinstance(options, list)
        if not known or not all(isinstance(option, type(hparam_dict[key])) for option in options):
            raise TypeError(message("hparam_domain", key=key))

    kinds = {int: api.DATA_TYPE_FLOAT64, float: api.DATA_TYPE_FLOAT64, str: api.DATA_TYPE_STRING}  # a bool is a number
    fields = {int: "number_value", float: "number_value", str: "string_value"}
    start = plugin_data_pb2.SessionStartInfo()
    infos = []
    for name, given in hparam_dict.items():
        if given is None:
            continue
        value = as_numpy(given).reshape(-1)[0].item() if isinstance(given, Tensor) else given
        kind = next((k for k in (int, float, str) if isinstance(value, k)), None)
        if kind is None:
            raise ValueError(message("hparam_value"))
        start.hparams[name].CopyFrom(Value(**{fields[kind]: value}))
        domain = None
        if name in domains:
            domain = ListValue(values=[Value(**{fields[kind]: option}) for option in domains[name]])
        infos.append(api.HParamInfo(name=name, type=kinds[kind], domain_discrete=domain))
    metrics = [api.MetricInfo(name=api.MetricName(tag=name)) for name in metric_dict]

    def record(tag: str, **content: Any) -> Summary:
        data = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **content)
        plugin = _plugin(metadata.PLUGIN_NAME, data.SerializeToString())
        return Summary(value=[Summary.Value(tag=tag, metadata=plugin)])

    return (
        record(metadata.EXPERIMENT_TAG, experiment=api.Experiment(hparam_infos=infos, metric_infos=metrics)),
        record(metadata.SESSION_START_INFO_TAG, session_start_info=start),
        record(
            metadata.SESSION_END_INFO_TAG,
            session_end_info=plugin_data_pb2.SessionEndInfo(status=api.Status.Value("STATUS_SUCCESS")),
        ),
    )


def pr_curve_raw(
    tag: str,
    tp: Any,
    fp: Any,
    tn: Any,
    fn: Any,
    precision: Any,
    recall: Any,
    num_thresholds: int = 127,
    weights: Any = None,
) -> Summary:
    """A curve of precision over recall that was computed elsewhere."""
    from tensorboard.plugins.pr_curve.plugin_data_pb2 import PrCurvePluginData

    number = min(num_thresholds, 127)  # or else the protobuf's reader fails
    rows = np.stack([np.asarray(part) for part in (tp, fp, tn, fn, precision, recall)])
    tensor = TensorProto(dtype=1, float_val=rows.reshape(-1).tolist(), tensor_shape=_shape(*rows.shape))
    return _of_tensor(tag, tensor, "pr_curves", PrCurvePluginData(version=0, num_thresholds=number).SerializeToString())


def pr_curve(tag: str, labels: Any, predictions: Any, num_thresholds: int = 127, weights: Any = None) -> Summary:
    """Precision over recall: `labels` are true or not, `predictions` between 0 and 1."""
    number = min(num_thresholds, 127)
    given = None if weights is None else as_numpy(weights)
    tp, fp, tn, fn, precision, recall = compute_curve(as_numpy(labels), as_numpy(predictions), number, given)
    return pr_curve_raw(tag, tp, fp, tn, fn, precision, recall, number)


def compute_curve(labels: Any, predictions: Any, num_thresholds: int | None = None, weights: Any = None) -> np.ndarray:
    """Right and wrong ones that are taken and left, precision and recall: a row each, at so many thresholds."""
    number = 127 if num_thresholds is None else num_thresholds
    true = labels.astype(float)
    weight = np.ones_like(true) if weights is None else weights
    bucket = np.floor(predictions * (number - 1)).astype(int)
    inside = (0, number - 1)
    right, _ = np.histogram(bucket, bins=number, range=inside, weights=true * weight)
    wrong, _ = np.histogram(bucket, bins=number, range=inside, weights=(1 - true) * weight)
    tp, fp = np.cumsum(right[::-1])[::-1], np.cumsum(wrong[::-1])[::-1]
    tn, fn = fp[0] - fp, tp[0] - tp
    least = 1e-7
    return np.stack((tp, fp, tn, fn, tp / np.maximum(least, tp + fp), tp / np.maximum(least, tp + fn)))


def mesh(
    tag: str, vertices: Any, colors: Any, faces: Any, config_dict: Any, display_name: str | None = None
) -> Summary:
    """Points `(N, V, 3)` in space, with colours and triangles if there are any."""
    from tensorboard.plugins.mesh import metadata
    from tensorboard.plugins.mesh.plugin_data_pb2 import MeshPluginData

    kinds = {MeshPluginData.VERTEX: vertices, MeshPluginData.FACE: faces, MeshPluginData.COLOR: colors}
    given = [(kind, part) for kind, part in kinds.items() if part is not None]
    components = metadata.get_components_bitmask([kind for kind, _ in given])
    values = []
    for kind, shown in given:
        content = metadata.create_summary_metadata(
            tag, display_name, kind, components, shown.shape, json_config=json.dumps(config_dict or {}, sort_keys=True)
        )
        part = as_numpy(shown)
        tensor = TensorProto(
            dtype=1, float_val=part.reshape(-1).astype(float).tolist(), tensor_shape=_shape(*part.shape)
        )
        name = metadata.get_instance_name(tag, kind)
        values.append(Summary.Value(tag=name, tensor=tensor, metadata=content))
    return Summary(value=values)


def half_to_int(f: float) -> int:
    """The bits of a number as float32, read as an int."""
    return int(np.float32(f).view(np.int32))


def int_to_half(i: int) -> float:
    """The float32 number that has these bits."""
    return float(np.int32(i).view(np.float32))
