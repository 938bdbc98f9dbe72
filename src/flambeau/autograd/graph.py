"""The tape's nodes, under torch's module path."""

from ..core.tape import Node

__all__ = ["Node"]
