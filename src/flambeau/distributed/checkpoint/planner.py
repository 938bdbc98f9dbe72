"""Who decides what is written and read: the kinds that there are, and names for those of one's own, which are refused."""

from typing import Any

from .. import _later
from .default_planner import LoadPlanner, SavePlanner

__all__ = [
    "BytesIOWriteData", "LoadItemType", "LoadPlan", "LoadPlanner", "ReadItem", "SavePlan", "SavePlanner", "TensorWriteData", "WriteItem",
    "WriteItemType",
]  # fmt: skip

BytesIOWriteData: Any = _later.kind("BytesIOWriteData", __name__)
LoadItemType: Any = _later.kind("LoadItemType", __name__)
LoadPlan: Any = _later.kind("LoadPlan", __name__)
ReadItem: Any = _later.kind("ReadItem", __name__)
SavePlan: Any = _later.kind("SavePlan", __name__)
TensorWriteData: Any = _later.kind("TensorWriteData", __name__)
WriteItem: Any = _later.kind("WriteItem", __name__)
WriteItemType: Any = _later.kind("WriteItemType", __name__)
