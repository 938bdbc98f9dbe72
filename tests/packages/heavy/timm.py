"""Models, a step of training, optimizers, augmentation, moving averages, features.

The numbers are of float64: one step of AdamW moves each parameter by the learning rate in the direction of its gradient's sign,
and biases before a batch norm have gradients that are nothing but rounding.
"""

import numpy as np
import timm
import torch
from PIL import Image
from timm.data import Mixup, create_transform, resolve_data_config
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV2, accuracy
from torch.nn import functional as F

x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
labels = torch.tensor([1, 2])
small = {"img_size": 64}
for name, options in {
    "resnet18": {},
    "efficientnet_b0": {},
    "mobilenetv3_small_100": {},
    "vit_tiny_patch16_224": small,
    "convnext_atto": {},
    "swin_tiny_patch4_window7_224": dict(small, window_size=2),
    "mixer_s32_224": small,
    "regnety_002": {},
}.items():
    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=10, **options).double().train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    loss = F.cross_entropy(net(x), labels)
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        print(name, sum(p.numel() for p in net.parameters()), loss.item(), net.eval()(x).abs().sum().item())
torch.manual_seed(0)
net = timm.create_model("resnet18", num_classes=10)
for kind in ("adamw", "lamb", "lion", "adafactor", "sgd"):
    optimizer = create_optimizer_v2(net, opt=kind, lr=1e-3, weight_decay=0.05)
    F.cross_entropy(net(x.float()), labels).backward()
    optimizer.step()
    optimizer.zero_grad()
    print(type(optimizer), len(optimizer.param_groups))
schedule = CosineLRScheduler(optimizer, t_initial=10, warmup_t=2, warmup_lr_init=1e-5)
for epoch in (1, 5):
    schedule.step(epoch)
    print(optimizer.param_groups[0]["lr"])
average = ModelEmaV2(net, decay=0.5)
average.update(net)
print(torch.equal(average.module.fc.weight, net.fc.weight), resolve_data_config({}, model=net)["input_size"])
transform = create_transform(224, is_training=True, auto_augment="rand-m9-mstd0.5-inc1")
print(transform(Image.fromarray(np.zeros((300, 300, 3), np.uint8))).shape)
mixed, targets = Mixup(mixup_alpha=0.2, num_classes=10)(x.float(), labels)
print(SoftTargetCrossEntropy()(net(mixed), targets).shape, LabelSmoothingCrossEntropy(0.1)(net(mixed), labels).shape)
print(accuracy(torch.eye(3), torch.tensor([0, 1, 1]), topk=(1, 2)))
print([part.shape for part in timm.create_model("resnet18", features_only=True)(x.float())])
print(timm.create_model("resnet18", num_classes=0)(x.float()).shape, net.get_classifier())
