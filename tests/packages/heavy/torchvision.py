"""The real package's models, transforms, data sets, operators, on local data."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision import datasets, models, ops, transforms, utils
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms import v2

x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
for (
    name
) in "resnet18 mobilenet_v3_small efficientnet_b0 squeezenet1_0 shufflenet_v2_x1_0 regnet_y_400mf swin_t".split():
    torch.manual_seed(0)
    net = models.get_model(name, weights=None, num_classes=10).double()
    out = net(x)
    out.square().mean().backward()
    print(name, round(out.abs().sum().item(), 3), sum(p.grad.abs().sum() > 0 for p in net.parameters()).item() > 0)
net = create_feature_extractor(models.resnet18(num_classes=10), {"layer1": "low", "layer3": "high"})
print({name: value.shape for name, value in net(x.float()).items()})

boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])
print(
    ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5),
    ops.box_iou(boxes, boxes),
    ops.generalized_box_iou(boxes, boxes)[0],
)
print(
    ops.roi_align(x[:1], [boxes.double()], 2, 0.5).sum().item(), ops.roi_pool(x[:1], [boxes.double()], 2).sum().item()
)
weight, offset = torch.ones(2, 3, 3, 3).double(), torch.full((2, 18, 62, 62), 0.25).double()
print(
    ops.deform_conv2d(x, offset, weight).mean().item(),
    ops.sigmoid_focal_loss(boxes / 30, (boxes > 9).float()).sum().item(),
)

picture = Image.fromarray((np.arange(32 * 32 * 3) % 255).astype("uint8").reshape(32, 32, 3))
for way in (transforms, v2):
    torch.manual_seed(0)
    steps = [way.RandomResizedCrop(16), way.RandomHorizontalFlip(), way.ColorJitter(0.1, 0.1), way.ToTensor()]
    print(way.__name__, way.Compose([*steps, way.Normalize([0.5] * 3, [0.5] * 3)])(picture).sum().item())
folder = Path(tempfile.mkdtemp())
for label in ("cat", "dog"):
    (folder / "data" / label).mkdir(parents=True)
    picture.save(folder / "data" / label / "one.png")
data = datasets.ImageFolder(folder / "data", transforms.ToTensor())
print(
    data.classes,
    len(data),
    [batch[1].tolist() for batch in torch.utils.data.DataLoader(data, 2)],
    datasets.FakeData(4)[0][1],
)
utils.save_image(utils.make_grid(torch.rand(4, 3, 8, 8), nrow=2), folder / "grid.png")
print(Image.open(folder / "grid.png").size)
torch.manual_seed(0)
net = models.detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3)
target = {"boxes": torch.tensor([[4.0, 4, 40, 40]]), "labels": torch.tensor([1])}
losses = net(list(torch.rand(2, 3, 64, 64)), [target, target])
print({name: round(value.item(), 2) for name, value in losses.items()})
