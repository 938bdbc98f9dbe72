"""Helpers of data pipes."""

from . import common, decoder
