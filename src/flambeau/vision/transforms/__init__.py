"""Image transforms, on PIL images and on tensors (..., C, H, W)."""

from flambeau.vision.transforms import functional
from flambeau.vision.transforms import transforms as _transforms
from flambeau.vision.transforms.functional import InterpolationMode
from flambeau.vision.transforms.transforms import *

__all__ = [*_transforms.__all__, "InterpolationMode", "functional"]
