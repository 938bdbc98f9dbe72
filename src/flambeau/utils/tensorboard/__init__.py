"""Curves, pictures, histograms and more, written for TensorBoard (`pip install tensorboard`), whose own classes write the files."""

try:
    import tensorboard as _tensorboard
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "No module named 'tensorboard': flambeau.utils.tensorboard writes with TensorBoard's classes; `pip install tensorboard`",
        name="tensorboard",
    ) from error

from tensorboard.summary.writer.record_writer import RecordWriter

from . import summary, writer
from .writer import FileWriter, SummaryWriter

__all__ = ["FileWriter", "RecordWriter", "SummaryWriter", "summary", "writer"]
