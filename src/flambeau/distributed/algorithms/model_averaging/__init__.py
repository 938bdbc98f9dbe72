"""Averages of models among processes."""

from . import averagers, utils
