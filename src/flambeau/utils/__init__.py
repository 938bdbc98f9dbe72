"""What surrounds training: data loading."""

from flambeau.utils import data
