"""Networks and image transforms with torchvision's names; nothing is downloaded."""

from flambeau.vision import models, transforms

__all__ = ["models", "transforms"]
