"""`torch.utils.data.datapipes`: data sets that are made of others by methods."""

from . import datapipe, iter, map, utils
from .datapipe import IterDataPipe, MapDataPipe, functional_datapipe

__all__ = ["IterDataPipe", "MapDataPipe", "datapipe", "functional_datapipe", "iter", "map"]
