import copy, re
from collections import OrderedDict, defaultdict
import torch, torch.nn as nn, torch.nn.functional as F
import torch.nn.init as init
from torch.nn.parameter import Parameter

torch.manual_seed(0)
torch.backends.cudnn.benchmark = True


class BasicBlock(nn.Module):
    expansion: int = 1

    def __init__(self, in_planes, planes, stride=1):
        super(BasicBlock, self).__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_planes != self.expansion * planes:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_planes, self.expansion * planes, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(self.expansion * planes),
            )

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.in_planes = 4
        self.stem = nn.Sequential(
            OrderedDict(
                [
                    ("conv", nn.Conv2d(3, 4, 3, padding=1)),
                    ("bn", nn.BatchNorm2d(4)),
                    ("relu", nn.ReLU(inplace=True)),
                ]
            )
        )
        self.layer1 = self._make_layer(4, 1, 1)
        self.layer2 = self._make_layer(8, 2, 2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(8, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)
            elif isinstance(m, nn.Linear):
                init.xavier_normal_(m.weight, gain=init.calculate_gain("relu"))
                init.zeros_(m.bias)

    def _make_layer(self, planes, n, stride):
        layers = []
        for s in [stride] + [1] * (n - 1):
            layers.append(BasicBlock(self.in_planes, planes, s))
            self.in_planes = planes
        return nn.Sequential(*layers)

    def forward(self, x):
        x = self.layer2(self.layer1(self.stem(x)))
        return self.fc(torch.flatten(self.avgpool(x), 1))


model = Net()
x = torch.randn(4, 3, 12, 12)
print(model(x)[0, :4])
for param in model.parameters():
    param.requires_grad = False
num_ftrs = model.fc.in_features
model.fc = nn.Linear(num_ftrs, 2)
print([n for n, p in model.named_parameters() if p.requires_grad])
opt = torch.optim.SGD(filter(lambda p: p.requires_grad, model.parameters()), lr=0.1, momentum=0.9)
y = torch.tensor([0, 1, 0, 1])
for _ in range(3):
    opt.zero_grad()
    l = F.cross_entropy(model(x), y)
    l.backward()
    opt.step()
print(f"{l.item():.5f}", model.stem.conv.weight.grad is None)
for p in model.layer2.parameters():
    p.requires_grad_(True)
opt = torch.optim.Adam(
    [{"params": model.layer2.parameters(), "lr": 1e-4}, {"params": model.fc.parameters()}], lr=1e-2
)
opt.add_param_group({"params": [model.stem.conv.weight]})
print([(len(g["params"]), g["lr"]) for g in opt.param_groups])
# hooks
activation = {}


def get_activation(name):
    def hook(model, input, output):
        activation[name] = output.detach()

    return hook


handles = [
    m.register_forward_hook(get_activation(n)) for n, m in model.named_modules() if isinstance(m, BasicBlock)
]
model(x)
print({k: tuple(v.shape) for k, v in activation.items()})
[h.remove() for h in handles]


class GradCAM:
    def __init__(self, model, layer):
        self.model = model
        self.g = None
        self.a = None
        layer.register_forward_hook(self._f)
        layer.register_full_backward_hook(self._b)

    def _f(self, m, i, o):
        self.a = o.clone().detach()

    def _b(self, m, gi, go):
        self.g = go[0].detach()

    def __call__(self, x, cls=None):
        out = self.model(x)
        cls = out.argmax(1) if cls is None else cls
        self.model.zero_grad()
        out.gather(1, cls[:, None]).sum().backward()
        w = self.g.mean(dim=(2, 3), keepdim=True)
        cam = F.relu((w * self.a).sum(1, keepdim=True))
        cam = F.interpolate(cam, size=x.shape[-2:], mode="bilinear", align_corners=False)
        cam -= cam.amin((2, 3), keepdim=True)
        return cam / (cam.amax((2, 3), keepdim=True) + 1e-8)


model.eval()
cam = GradCAM(model, model.layer2[-1])(x)
print(cam.shape, cam[0, 0, :2, :4])
xi = x[:1].clone().requires_grad_()
model(xi)[0, 1].backward()
sal, _ = torch.max(xi.grad.abs(), dim=1)
print(sal.shape, sal.mean())
adv = (
    x
    + 0.01
    * torch.autograd.grad(F.cross_entropy(model(xi := x.clone().requires_grad_(True)), y), xi)[0].sign()
)
print(torch.clamp(adv, -1, 1).mean())


# surgery
def replace_bn(module):
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.GroupNorm(2, child.num_features))
        else:
            replace_bn(child)


m2 = copy.deepcopy(model)
replace_bn(m2)
print(
    sum(isinstance(m, nn.BatchNorm2d) for m in m2.modules()),
    sum(isinstance(m, nn.BatchNorm2d) for m in model.modules()),
    m2(x).shape,
)
feat = nn.Sequential(*list(model.children())[:-1])
print(feat(x).shape)
old = model.state_dict()
new = OrderedDict(
    (re.sub(r"^layer(\d)", r"stage\1", k), v) for k, v in old.items() if not k.startswith("fc.")
)
print(list(new)[:9])
md = m2.state_dict()
pre = {k: v for k, v in old.items() if k in md and v.shape == md[k].shape}
md.update(pre)
m2.load_state_dict(md)
r = m2.load_state_dict({k: v for k, v in old.items() if "fc" not in k}, strict=False)
print(r.missing_keys, len(r.unexpected_keys))
dp = nn.DataParallel(model)
sd = {k[7:] if k.startswith("module.") else k: v for k, v in dp.state_dict().items()}
print(model.load_state_dict(sd))
total = sum(p.numel() for p in model.parameters())
trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
print(f"{total:,} total parameters. {trainable:,} trainable")
print(
    sum(p.nelement() * p.element_size() for p in model.parameters())
    + sum(b.nelement() * b.element_size() for b in model.buffers())
)


class LoRA(nn.Module):
    def __init__(self, lin, r=2):
        super().__init__()
        self.linear = lin
        self.A = Parameter(torch.randn(lin.in_features, r) / r**0.5)
        self.B = Parameter(torch.zeros(r, lin.out_features))
        self.scale = 2.0

    def forward(self, x):
        return self.linear(x) + self.scale * (x @ self.A @ self.B)


model.fc = LoRA(model.fc)
print(model)
types = defaultdict(int)
for m in model.modules():
    types[type(m).__name__] += 1
print(dict(types), model.get_submodule("layer2.0.conv1"), [n for n, _ in model.named_children()])
net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 4))
net[1] = nn.Tanh()
net.add_module("last", nn.Softmax(dim=-1))
net.append(nn.Identity())
del net[4]
print(net, len(net), net[-1])
for n, m in net.named_modules():
    print(n, "->", type(m).__name__)
print(net(torch.ones(1, 1, 4, 4)).sum())
fx = {}
h = (
    net[0].register_forward_pre_hook(lambda m, i: fx.setdefault("in", i[0].shape))
    if False
    else net[0].register_forward_pre_hook(lambda m, i: (i[0] * 2,))
)
print(net(torch.ones(1, 1, 4, 4))[0, :2])
h.remove()
g = []
t = torch.ones(2, requires_grad=True)
t.register_hook(lambda gr: gr * 2)
(t * 3).sum().backward()
print(t.grad)
