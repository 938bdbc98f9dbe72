"""The pipes that change the order, under their full names."""

from . import Shuffler as ShufflerIterDataPipe

__all__ = ["ShufflerIterDataPipe"]
