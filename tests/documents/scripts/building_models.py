from collections import OrderedDict

import torch
from torch import nn

torch.manual_seed(0)
num_feature = 4


class MyNet(nn.Module):
    def __init__(self, num_feature):
        super(MyNet, self).__init__()
        self.linear = nn.Linear(num_feature, 1)

    def forward(self, x):
        y = self.linear(x)
        return y


net = MyNet(num_feature)
print(net)
print(net(torch.rand(3, num_feature)))

net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 2))
print(net)

layers = []
layers.append(nn.ConvTranspose2d(3, 6, 4, 2, 1))
layers.append(nn.InstanceNorm2d(6))
net = nn.Sequential(*layers)
print(net)
print(net(torch.rand(2, 3, 5, 5)).shape)

net = nn.Sequential(
    OrderedDict(
        [
            ("linear", nn.Linear(4, 8)),
            ("linear", nn.Linear(8, 8)),
            ("linear", nn.Linear(8, 2)),
        ]
    )
)
print(net)

net = nn.Sequential()
net.add_module("linear1", nn.Linear(15, 20))
net.add_module("relu1", nn.ReLU())
net.add_module("linear2", nn.Linear(20, 15))
net.add_module("relu2", nn.ReLU())
net.add_module("linear3", nn.Linear(15, 1))
net.add_module("sigmoid", nn.Sigmoid())
print(net)
print(net(torch.rand(2, 15)))


class Blocks(nn.Module):
    def __init__(self, dim_in, dim_out):
        super().__init__()
        self.encode = nn.ModuleList()
        self.decode = nn.ModuleList()
        self.encode.append(nn.Linear(dim_in, dim_out))
        self.encode.append(nn.Linear(dim_out, dim_out))
        self.decode.insert(0, nn.Linear(dim_out, dim_in))
        self.decode.insert(0, nn.Linear(dim_out, dim_out))


blocks = Blocks(3, 4)
print(blocks)
print([name for name, _ in blocks.named_parameters()])

net = nn.ModuleDict(
    {
        "linear": nn.Linear(784, 256),
        "act": nn.ReLU(),
    }
)
net["output"] = nn.Linear(256, 10)
print(net)
try:
    net(torch.rand(1, 784))
except NotImplementedError as error:
    print(type(error).__name__)


class MyListDense(nn.Module):
    def __init__(self):
        super().__init__()
        self.params = nn.ParameterList([nn.Parameter(torch.randn(4, 4)) for i in range(3)])
        self.params.append(nn.Parameter(torch.randn(4, 1)))

    def forward(self, x):
        for i in range(len(self.params)):
            x = torch.mm(x, self.params[i])
        return x


net = MyListDense()
print(net)
print(net(torch.ones(1, 4)))


class MyDictDense(nn.Module):
    def __init__(self):
        super().__init__()
        self.params = nn.ParameterDict(
            {"linear1": nn.Parameter(torch.randn(4, 4)), "linear2": nn.Parameter(torch.randn(4, 1))}
        )
        self.params.update({"linear3": nn.Parameter(torch.randn(4, 2))})

    def forward(self, x, choice="linear1"):
        return torch.mm(x, self.params[choice])


net = MyDictDense()
print(net)
x = torch.ones(1, 4)
print(net(x, "linear1"))
print(net(x, "linear2"))
print(net(x, "linear3"))

N, C, H, W = 2, 3, 8, 8
net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5))
print(net[0])
X = torch.rand((N, C, H, W))
for name, layer in net.named_children():
    X = layer(X)
    print(name, " output shape:\t", X.shape)


class WithBuffer(nn.Module):
    def __init__(self, num_features):
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(num_features))


module = WithBuffer(3)
print(module.running_mean, module.state_dict(), list(module.parameters()))
