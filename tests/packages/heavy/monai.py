"""A network for volumes on augmented data, sliding windows, metrics."""

import monai
import numpy as np
import torch
from monai.data import CacheDataset, DataLoader
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from monai.metrics import DiceMetric
from monai.networks.nets import UNet, ViT
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    EnsureTyped,
    RandFlipd,
    RandRotate90d,
    ScaleIntensityd,
)

monai.utils.set_determinism(0)
t = Compose(
    [
        EnsureChannelFirstd(["image", "label"], channel_dim="no_channel"),
        ScaleIntensityd("image"),
        RandFlipd(["image", "label"], prob=0.5, spatial_axis=0),
        RandRotate90d(["image", "label"], prob=0.5),
        EnsureTyped(["image", "label"]),
    ]
)
r = np.random.RandomState(0)
data = [{"image": r.rand(16, 16, 16).astype("f"), "label": (r.rand(16, 16, 16) > 0.5).astype("f")} for _ in range(4)]
dl = DataLoader(CacheDataset(data, t, progress=False), batch_size=2, num_workers=0)
m = UNet(3, 1, 2, (4, 8, 16), (2, 2), num_res_units=1)
o = torch.optim.SGD(m.parameters(), 0.1)
f = DiceCELoss(to_onehot_y=True, softmax=True)
for b in dl:
    o.zero_grad()
    l = f(m(b["image"]), b["label"])
    l.backward()
    o.step()
    print(type(b["image"]).__name__, tuple(b["image"].shape), round(l.item(), 5))
m.eval()
with torch.no_grad():
    s = sliding_window_inference(torch.rand(1, 1, 24, 24, 24), (16, 16, 16), 2, m, overlap=0.25)
    print(tuple(s.shape), round(s.abs().mean().item(), 5))
d = DiceMetric(include_background=False)
d(torch.nn.functional.one_hot(s.argmax(1), 2).movedim(-1, 1), torch.ones(1, 1, 24, 24, 24))
print(tuple(d.aggregate().shape))
v = ViT(1, (16, 16, 16), (8, 8, 8), hidden_size=24, mlp_dim=48, num_layers=1, num_heads=2, classification=True)
print(round(v(torch.rand(1, 1, 16, 16, 16))[0].abs().sum().item(), 4))
