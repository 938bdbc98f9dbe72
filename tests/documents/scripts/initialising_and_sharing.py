import warnings

import torch
from torch import nn
from torch.nn import init

warnings.simplefilter("ignore")
torch.manual_seed(0)
module = nn.Linear(3, 2)
module.weight.data.fill_(0)
print(module.weight)

conv1 = nn.Conv2d(1, 2, 3)
nn.init.xavier_uniform(conv1.weight)
print(conv1.weight)
nn.init.constant_(module.bias, val=0)
try:
    nn.init.norm_(module.weight, mean=0, std=0.01)
except AttributeError as error:
    print(type(error).__name__)
nn.init.normal_(module.weight, mean=0, std=0.01)
print(module.weight)

net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
for name, param in net.named_parameters():
    if "weight" in name:
        init.normal_(param, mean=0, std=0.01)
        print(name, param.data)
    elif "bias" in name:
        init.constant_(param, val=0)
        print(name, param.data)


@torch.no_grad()
def init_weights(module):
    if type(module) == nn.Linear:  # noqa: E721
        nn.init.xavier_uniform(module.weight)
        module.bias.data.fill_(0.01)
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if module.bias is not None:
            nn.init.constant_(module.bias, 0)


net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
net.apply(init_weights)
print(net[0].weight, net[1].bias)
conv = nn.Conv2d(2, 3, 3)
conv.apply(init_weights)
print(conv.weight, conv.bias)

# one module used twice: its gradients add up
linear = nn.Linear(1, 1, bias=False)
net = nn.Sequential(linear, linear)
print(net)
for name, param in net.named_parameters():
    init.constant_(param, val=3)
    print(name, param.data)
print(id(net[0]) == id(net[1]), id(net[0].weight) == id(net[1].weight))
x = torch.ones(1, 1)
y = net(x).sum()
print(y)
y.backward()
print(net[0].weight.grad)


def toggle_grad(model, on_or_off):
    for param in model.parameters():
        param.requires_grad = on_or_off


toggle_grad(net, False)
print([p.requires_grad for p in net.parameters()], net(x).requires_grad)
toggle_grad(net, True)
with torch.no_grad():
    out_data = net(x)
print(out_data.requires_grad, net(x).requires_grad)
net.eval()
print(net.training, net[0].training)
net.train()
print(net.training, net[0].training)
try:
    torch.randn(10, 128).cuda()
except (AssertionError, RuntimeError) as error:
    print("no GPU" if not torch.cuda.is_available() else error)
