"""Builders of well-known networks. Their weights have torchvision's key names, so its checkpoints load."""

from flambeau.vision.models import alexnet as _alexnet
from flambeau.vision.models import lenet as _lenet
from flambeau.vision.models import resnet as _resnet
from flambeau.vision.models import vgg as _vgg
from flambeau.vision.models.alexnet import *
from flambeau.vision.models.lenet import *
from flambeau.vision.models.resnet import *
from flambeau.vision.models.vgg import *

__all__ = [*_alexnet.__all__, *_lenet.__all__, *_resnet.__all__, *_vgg.__all__]
