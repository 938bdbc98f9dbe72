"""Collectives that are part of the graph of gradients."""

from . import functional
from .functional import *
