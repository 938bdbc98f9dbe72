"""`SummaryWriter`: what a training run leaves for TensorBoard."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from tensorboard.compat.proto import event_pb2
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from ...core.dispatch.messages import message
from . import _embedding, summary
from ._arrays import as_numpy

__all__ = ["FileWriter", "SummaryWriter"]

_ESCAPED = {ord(letter): f"%{ord(letter):02x}" for letter in "%/\\"}  # what a folder's name can't have


class FileWriter:
    """One file of events in a folder; a thread of TensorBoard's writes it."""

    def __init__(self, log_dir: Any, max_queue: int = 10, flush_secs: int = 120, filename_suffix: str = "") -> None:
        self.event_writer = EventFileWriter(str(log_dir), max_queue, flush_secs, filename_suffix)

    def get_logdir(self) -> str:
        """The folder."""
        return self.event_writer.get_logdir()

    def add_event(self, event: Any, step: Any = None, walltime: float | None = None) -> None:
        """Write an event of this step and time (now, if none is given)."""
        event.wall_time = time.time() if walltime is None else walltime
        if step is not None:
            event.step = int(step)
        self.event_writer.add_event(event)

    def add_summary(self, summary: Any, global_step: Any = None, walltime: float | None = None) -> None:
        """Write a record."""
        self.add_event(event_pb2.Event(summary=summary), global_step, walltime)

    def add_graph(self, graph_profile: Any, walltime: float | None = None) -> None:
        """Write a graph, and what is known of its run where that comes with it: (GraphDef, RunMetadata)."""
        graph, run = graph_profile if isinstance(graph_profile, tuple) else (graph_profile, None)
        self.add_event(event_pb2.Event(graph_def=graph.SerializeToString()), None, walltime)
        if run is not None:
            tagged = event_pb2.TaggedRunMetadata(tag="step1", run_metadata=run.SerializeToString())
            self.add_event(event_pb2.Event(tagged_run_metadata=tagged), None, walltime)

    def add_onnx_graph(self, graph: Any, walltime: float | None = None) -> None:
        """Write a graph."""
        self.add_graph(graph, walltime)

    def flush(self) -> None:
        """See to it that all is in the file."""
        self.event_writer.flush()

    def close(self) -> None:
        """Write all, and close the file."""
        self.event_writer.close()

    def reopen(self) -> None:
        """Begin another file in the same folder."""
        folder = self.get_logdir()
        self.event_writer.close()
        self.event_writer = EventFileWriter(folder)


class SummaryWriter:
    """Writes figures, pictures, histograms, texts into a folder that `tensorboard --logdir` shows.

    `log_dir` is `runs/DATE_HOST` + `comment` unless given. With `purge_step` TensorBoard forgets what is there from that step
    on. Use it as a context, or call `close()`.
    """

    def __init__(
        self,
        log_dir: Any = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ) -> None:
        if not log_dir:
            now = datetime.now().strftime("%b%d_%H-%M-%S")
            log_dir = os.path.join("runs", f"{now}_{socket.gethostname()}{comment}")
        self.log_dir = log_dir
        self.purge_step = purge_step
        self.max_queue = max_queue
        self.flush_secs = flush_secs
        self.filename_suffix = filename_suffix
        self.file_writer: FileWriter | None = None
        self.all_writers: dict[str, FileWriter] | None = None
        self._get_file_writer()
        self.default_bins: list[float] = summary.default_bins()

    def _get_file_writer(self) -> FileWriter:
        if self.all_writers is None or self.file_writer is None:
            self.file_writer = FileWriter(self.log_dir, self.max_queue, self.flush_secs, self.filename_suffix)
            self.all_writers = {self.file_writer.get_logdir(): self.file_writer}
            if self.purge_step is not None:
                step = self.purge_step
                self.file_writer.add_event(Event(step=step, file_version="brain.Event:2"))
                self.file_writer.add_event(Event(step=step, session_log=SessionLog(status=SessionLog.START)))
                self.purge_step = None
        return self.file_writer

    def get_logdir(self) -> Any:
        """The folder, as it was given."""
        return self.log_dir

    def _write(self, record: Any, step: Any, walltime: float | None) -> None:
        self._get_file_writer().add_summary(record, step, walltime)

    # --- figures ------------------------------------------------------------------------------------------------------

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: Any = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """One number of a curve. AssertionError for more than one."""
        self._write(summary.scalar(tag, scalar_value, new_style, double_precision), global_step, walltime)

    def add_scalars(
        self, main_tag: str, tag_scalar_dict: Mapping[str, Any], global_step: Any = None, walltime: float | None = None
    ) -> None:
        """A number for each of several curves in one chart; each has a folder of its own."""
        now = time.time() if walltime is None else walltime
        top = self._get_file_writer().get_logdir()
        assert self.all_writers is not None
        for tag, value in tag_scalar_dict.items():
            folder = top + "/" + main_tag.replace("/", "_") + "_" + tag
            if folder not in self.all_writers:
                self.all_writers[folder] = FileWriter(folder, self.max_queue, self.flush_secs, self.filename_suffix)
            self.all_writers[folder].add_summary(summary.scalar(main_tag, value), global_step, now)

    def add_tensor(self, tag: str, tensor: Any, global_step: Any = None, walltime: float | None = None) -> None:
        """A tensor's values."""
        self._write(summary.tensor_proto(tag, tensor), global_step, walltime)

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: Any = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """How values are distributed. `bins` as NumPy's, or 'tensorflow' for TensorBoard's own. ValueError for no values."""
        limits = self.default_bins if isinstance(bins, str) and bins == "tensorflow" else bins
        self._write(summary.histogram(tag, values, limits, max_bins), global_step, walltime)

    def add_histogram_raw(
        self,
        tag: str,
        min: Any,
        max: Any,
        num: Any,
        sum: Any,
        sum_squares: Any,
        bucket_limits: Any,
        bucket_counts: Any,
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        """A histogram that was counted elsewhere. ValueError unless there is a limit for each bucket."""
        if len(bucket_limits) != len(bucket_counts):
            raise ValueError("len(bucket_limits) != len(bucket_counts), see the document.")
        record = summary.histogram_raw(tag, min, max, num, sum, sum_squares, bucket_limits, bucket_counts)
        self._write(record, global_step, walltime)

    def add_pr_curve(
        self,
        tag: str,
        labels: Any,
        predictions: Any,
        global_step: Any = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Precision over recall, of what is true (`labels`) and how sure one is of it (`predictions`, between 0 and 1)."""
        self._write(summary.pr_curve(tag, labels, predictions, num_thresholds, weights), global_step, walltime)

    def add_pr_curve_raw(
        self,
        tag: str,
        true_positive_counts: Any,
        false_positive_counts: Any,
        true_negative_counts: Any,
        false_negative_counts: Any,
        precision: Any,
        recall: Any,
        global_step: Any = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """The same from counts for each threshold."""
        counts = (true_positive_counts, false_positive_counts, true_negative_counts, false_negative_counts)
        record = summary.pr_curve_raw(tag, *counts, precision, recall, num_thresholds, weights)
        self._write(record, global_step, walltime)

    def add_custom_scalars(self, layout: dict[str, Any]) -> None:
        """Which curves stand together: `{category: {title: ["Multiline" or "Margin", tags]}}`."""
        self._write(summary.custom_scalars(layout), None, None)

    def add_custom_scalars_multilinechart(
        self, tags: list[str], category: str = "default", title: str = "untitled"
    ) -> None:
        """Several curves in one chart."""
        self.add_custom_scalars({category: {title: ["Multiline", tags]}})

    def add_custom_scalars_marginchart(
        self, tags: list[str], category: str = "default", title: str = "untitled"
    ) -> None:
        """A curve between a lower and an upper one: three tags."""
        if len(tags) != 3:
            raise AssertionError(f"Expected 3 tags, got {len(tags)}. A margin chart needs value, lower and upper")
        self.add_custom_scalars({category: {title: ["Margin", tags]}})

    # --- pictures, sounds, texts --------------------------------------------------------------------------------------

    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """An image: bytes, or numbers between 0 and 1; `dataformats` names its dimensions."""
        self._write(summary.image(tag, img_tensor, dataformats=dataformats), global_step, walltime)

    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """Several images in a grid."""
        self._write(summary.image(tag, img_tensor, dataformats=dataformats), global_step, walltime)

    def add_image_with_boxes(
        self,
        tag: str,
        img_tensor: Any,
        box_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        rescale: float = 1,
        dataformats: str = "CHW",
        labels: Any = None,
    ) -> None:
        """An image with rectangles `x1, y1, x2, y2`, each with its label. ValueError for another number of labels."""
        if labels is not None:
            labels = [labels] if isinstance(labels, str) else labels
            if len(labels) != box_tensor.shape[0]:
                labels = None
        record = summary.image_boxes(tag, img_tensor, box_tensor, rescale, dataformats, labels)
        self._write(record, global_step, walltime)

    def add_figure(
        self, tag: str, figure: Any, global_step: Any = None, close: bool = True, walltime: float | None = None
    ) -> None:
        """A figure of Matplotlib's, or several, which are closed unless told otherwise."""
        import numpy as np

        several = isinstance(figure, list)
        drawn = [_drawn(one) for one in (figure if several else [figure])]
        if close:
            import matplotlib.pyplot as plt

            for one in figure if several else [figure]:
                plt.close(one)
        if several:
            self.add_images(tag, np.stack(drawn), global_step, walltime, dataformats="NHWC")
        else:
            self.add_image(tag, drawn[0], global_step, walltime, dataformats="HWC")

    def add_video(
        self, tag: str, vid_tensor: Any, global_step: Any = None, fps: float = 4, walltime: float | None = None
    ) -> None:
        """`(N, T, C, H, W)`, bytes or numbers between 0 and 1, as a moving GIF."""
        self._write(summary.video(tag, vid_tensor, fps), global_step, walltime)

    def add_audio(
        self,
        tag: str,
        snd_tensor: Any,
        global_step: Any = None,
        sample_rate: int = 44100,
        walltime: float | None = None,
    ) -> None:
        """Sound between -1 and 1, one channel."""
        self._write(summary.audio(tag, snd_tensor, sample_rate), global_step, walltime)

    def add_text(self, tag: str, text_string: str, global_step: Any = None, walltime: float | None = None) -> None:
        """A text, in Markdown."""
        self._write(summary.text(tag, text_string), global_step, walltime)

    def add_mesh(
        self,
        tag: str,
        vertices: Any,
        colors: Any = None,
        faces: Any = None,
        config_dict: Any = None,
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Points `(N, V, 3)` in space, with colours of each and triangles between them if there are any."""
        self._write(summary.mesh(tag, vertices, colors, faces, config_dict), global_step, walltime)

    # --- networks, parameters, points -----------------------------------------------------------------------------------

    def add_graph(
        self, model: Any, input_to_model: Any = None, verbose: bool = False, use_strict_trace: bool = True
    ) -> None:
        """The modules of a network and what flows between them when it runs on `input_to_model`."""
        from ._graph import graph

        self._get_file_writer().add_graph(graph(model, () if input_to_model is None else input_to_model, verbose))

    def add_onnx_graph(self, prototxt: Any) -> None:
        """The graph of an ONNX file (`pip install onnx`)."""
        from tensorboard.compat.proto.graph_pb2 import GraphDef
        from tensorboard.compat.proto.node_def_pb2 import NodeDef

        import onnx

        held = onnx.load(prototxt).graph
        made = {name: node for node in held.node for name in node.output}
        nodes = [NodeDef(name=value.name, op="Variable") for value in held.input]
        for node in held.node:
            sources = [made[name].name or name if name in made else name for name in node.input]
            nodes.append(NodeDef(name=node.name or node.output[0], op=node.op_type, input=sources))
        self._get_file_writer().add_onnx_graph(GraphDef(node=nodes))

    def add_hparams(
        self,
        hparam_dict: dict[str, Any],
        metric_dict: dict[str, Any],
        hparam_domain_discrete: dict[str, list[Any]] | None = None,
        run_name: str | None = None,
        global_step: Any = None,
    ) -> None:
        """The parameters of a run and the figures that it reached, in a folder of its own. TypeError for what are no dicts."""
        if type(hparam_dict) is not dict or type(metric_dict) is not dict:
            raise TypeError("hparam_dict and metric_dict should be dictionary.")
        records = summary.hparams(hparam_dict, metric_dict, hparam_domain_discrete)
        folder = os.path.join(self._get_file_writer().get_logdir(), run_name or str(time.time()))
        with SummaryWriter(log_dir=folder) as run:
            for record in records:
                run._write(record, global_step, None)
            for name, value in metric_dict.items():
                run.add_scalar(name, value, global_step)

    def add_embedding(
        self,
        mat: Any,
        metadata: Any = None,
        label_img: Any = None,
        global_step: Any = None,
        tag: str = "default",
        metadata_header: Any = None,
    ) -> None:
        """Points `(N, D)` for the projector, each with its label and its image if there are any."""
        import numpy as np
        from google.protobuf import text_format

        points = as_numpy(mat)
        step = str(global_step or 0).zfill(5)
        subfolder = f"{step}/{tag.translate(_ESCAPED)}"
        folder = Path(self._get_file_writer().get_logdir()) / subfolder
        if folder.exists():
            again = "did you set global_step for add_embedding()?"
            print(f"warning: Embedding dir exists, {again}")
        folder.mkdir(parents=True, exist_ok=True)
        images = None
        if metadata is not None:
            if len(points) != len(metadata):
                raise AssertionError("#labels should equal with #data points")
            _embedding.write_metadata(metadata, folder, metadata_header)
        if label_img is not None:
            images = as_numpy(label_img)
            if len(points) != len(images):
                raise AssertionError("#images should equal with #data points")
            _embedding.write_sprite(images, folder)
        if points.ndim != 2:
            raise AssertionError(message("embedding_not_2d"))
        _embedding.write_points(np.asarray(points), folder)
        if not hasattr(self, "_projector_config"):
            self._projector_config = ProjectorConfig()
        self._projector_config.embeddings.extend([_embedding.describe(subfolder, tag, step, metadata, images)])
        target = Path(self._get_file_writer().get_logdir()) / "projector_config.pbtxt"
        target.write_text(text_format.MessageToString(self._projector_config))

    # --- the end ------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """See to it that all is in the files."""
        for writer in (self.all_writers or {}).values():
            writer.flush()

    def close(self) -> None:
        """Write all, and close the files. What is written later begins new ones."""
        for writer in (self.all_writers or {}).values():
            writer.flush()
            writer.close()
        self.file_writer = self.all_writers = None

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _drawn(figure: Any) -> Any:
    """A Matplotlib figure's pixels, `(H, W, 3)`."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]
