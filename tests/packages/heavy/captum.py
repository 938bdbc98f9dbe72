"""Explanations of what a network gives."""

import numpy
import torch
from captum.attr import (
    DeepLift,
    FeatureAblation,
    GradientShap,
    GuidedBackprop,
    InputXGradient,
    IntegratedGradients,
    LayerConductance,
    LayerGradCam,
    NoiseTunnel,
    Occlusion,
    Saliency,
)

torch.manual_seed(0)
m = torch.nn.Sequential(
    torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(36, 3)
).eval()
x = torch.randn(2, 1, 8, 8)


def show(n, t):
    print(n, tuple(t.shape), round(t.detach().abs().sum().item(), 4))


for A in (Saliency, InputXGradient, IntegratedGradients, DeepLift, GuidedBackprop, FeatureAblation):
    show(A.__name__, A(m).attribute(x, target=1))
show("occlusion", Occlusion(m).attribute(x, (1, 3, 3), target=1, strides=(1, 2, 2)))
show("gradcam", LayerGradCam(m, m[0]).attribute(x, target=1))
show("conductance", LayerConductance(m, m[0]).attribute(x, target=1, n_steps=10))
numpy.random.seed(0)
torch.manual_seed(1)
show("shap", GradientShap(m).attribute(x, torch.zeros(3, 1, 8, 8), target=0, n_samples=4))
show("noise", NoiseTunnel(Saliency(m)).attribute(x, nt_samples=3, target=0))
