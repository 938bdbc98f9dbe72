"""Averages of models among processes. Refused: it needs several."""

from . import averagers
