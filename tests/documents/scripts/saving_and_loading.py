import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(0)
x = torch.arange(4)
torch.save(x, "x-file")
x2 = torch.load("x-file")
print(x2)

y = torch.zeros(4)
torch.save([x, y], "x-files")
x2, y2 = torch.load("x-files")
print((x2, y2))

mydict = {"x": x, "y": y}
torch.save(mydict, "mydict")
mydict2 = torch.load("mydict")
print(mydict2)


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(20, 256)
        self.output = nn.Linear(256, 10)

    def forward(self, x):
        return self.output(F.relu(self.hidden(x)))


net = MLP()
X = torch.randn(size=(2, 20))
Y = net(X)
torch.save(net.state_dict(), "mlp.params")

clone = MLP()
print(clone.load_state_dict(torch.load("mlp.params")))
print(clone.eval())
Y_clone = clone(X)
print(Y_clone == Y)

torch.save(net, "net_model.pth")
net_loaded = torch.load("net_model.pth", weights_only=False)
print(net_loaded, torch.equal(net_loaded(X), Y), net_loaded.training)

optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
F.mse_loss(net(X), torch.zeros(2, 10)).backward()
optimizer.step()
torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, "training.pth")
held = torch.load("training.pth")
optimizer.load_state_dict(held["optimizer"])
print(held["optimizer"]["param_groups"], sorted(held["optimizer"]["state"]))

# the finetuning of the third document
pretrained_params = torch.load("mlp.params")
net = MLP()
net_state_dict = net.state_dict()
pre_dict = {k: v for k, v in pretrained_params.items() if k in net_state_dict}
net_state_dict.update(pre_dict)
net.load_state_dict(net_state_dict)
print(torch.equal(net.hidden.weight, pretrained_params["hidden.weight"]))
try:
    net.load_state_dict({"hidden.weight": torch.zeros(3, 3), "other": x})
except RuntimeError as error:
    print(error)
