import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(1)
x = torch.arange(-8.0, 8.0, 2.0, requires_grad=True)
y = torch.relu(x)
y.backward(torch.ones_like(x), retain_graph=True)
print(y.detach(), x.grad)
y = torch.sigmoid(x)
x.grad.data.zero_()
y.backward(torch.ones_like(x), retain_graph=True)
print(x.grad)
num_inputs, num_outputs, num_hiddens = 20, 3, 16
W1 = nn.Parameter(torch.randn(num_inputs, num_hiddens, requires_grad=True) * 0.01)
b1 = nn.Parameter(torch.zeros(num_hiddens, requires_grad=True))
W2 = nn.Parameter(torch.randn(num_hiddens, num_outputs, requires_grad=True) * 0.01)
b2 = nn.Parameter(torch.zeros(num_outputs, requires_grad=True))
params = [W1, b1, W2, b2]


def relu(X):
    a = torch.zeros_like(X)
    return torch.max(X, a)


def dropout_layer(X, dropout):
    assert 0 <= dropout <= 1
    if dropout == 1:
        return torch.zeros_like(X)
    if dropout == 0:
        return X
    mask = (torch.rand(X.shape) > dropout).float()
    return mask * X / (1.0 - dropout)


X = torch.arange(16, dtype=torch.float32).reshape((2, 8))
print(X, dropout_layer(X, 0.0), dropout_layer(X, 0.5), dropout_layer(X, 1.0))


def net(X):
    return dropout_layer(relu(X.reshape((-1, num_inputs)) @ W1 + b1), 0.2) @ W2 + b2


feats = torch.randn(96, 20)
targets = (feats.abs().sum(1) / 5).long().clamp(0, 2)
loss = nn.CrossEntropyLoss(reduction="none")
updater = torch.optim.SGD(params, lr=0.5)
for epoch in range(4):
    l = loss(net(feats), targets)
    updater.zero_grad()
    l.mean().backward()
    updater.step()
    print(f"{l.mean():.5f}")
# weight decay
n_train, n_inputs, bs = 20, 50, 5


def l2_penalty(w):
    return torch.sum(w.pow(2)) / 2


w = torch.normal(0, 1, size=(n_inputs, 1), requires_grad=True)
b = torch.zeros(1, requires_grad=True)
Xt = torch.normal(0, 1, (n_train, n_inputs))
yt = Xt @ (torch.ones((n_inputs, 1)) * 0.01) + 0.05
for lambd in (0, 3):
    for i in range(10):
        with torch.enable_grad():
            l = ((Xt @ w + b - yt) ** 2 / 2).mean() + lambd * l2_penalty(w)
        l.backward()
        with torch.no_grad():
            for p in (w, b):
                p -= 0.05 * p.grad
                p.grad.zero_()
    print("L2 norm of w:", torch.norm(w).item())
net = nn.Sequential(nn.Linear(n_inputs, 1))
for param in net.parameters():
    param.data.normal_()
trainer = torch.optim.SGD([{"params": net[0].weight, "weight_decay": 3}, {"params": net[0].bias}], lr=0.003)
for _ in range(5):
    trainer.zero_grad()
    l = nn.MSELoss(reduction="none")(net(Xt), yt)
    l.mean().backward()
    trainer.step()
print(net[0].weight.norm().item())


# layers and blocks
class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(20, 256)
        self.out = nn.Linear(256, 10)

    def forward(self, X):
        return self.out(F.relu(self.hidden(X)))


class MySequential(nn.Module):
    def __init__(self, *args):
        super().__init__()
        for idx, module in enumerate(args):
            self._modules[str(idx)] = module

    def forward(self, X):
        for block in self._modules.values():
            X = block(X)
        return X


class FixedHiddenMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.rand_weight = torch.rand((20, 20), requires_grad=False)
        self.linear = nn.Linear(20, 20)

    def forward(self, X):
        X = self.linear(X)
        X = F.relu(torch.mm(X, self.rand_weight) + 1)
        X = self.linear(X)
        while X.abs().sum() > 1:
            X /= 2
        return X.sum()


X = torch.rand(2, 20)
print(MLP()(X)[:, :4], MySequential(nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 3))(X), FixedHiddenMLP()(X))


def block1():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU())


def block2():
    net = nn.Sequential()
    for i in range(2):
        net.add_module(f"block {i}", block1())
    return net


rgnet = nn.Sequential(block2(), nn.Linear(4, 1))
print(rgnet(torch.rand(2, 4)), rgnet, rgnet[0][1][0].bias.data)


def init_normal(m):
    if type(m) == nn.Linear:
        nn.init.normal_(m.weight, mean=0, std=0.01)
        nn.init.zeros_(m.bias)


rgnet.apply(init_normal)
print(rgnet[1].weight.data[0], rgnet[1].bias.data[0])


def my_init(m):
    if type(m) == nn.Linear:
        print("Init", *[(name, param.shape) for name, param in m.named_parameters()][0])
        nn.init.uniform_(m.weight, -10, 10)
        m.weight.data *= m.weight.data.abs() >= 5


rgnet.apply(my_init)
print(rgnet[1].weight[:2])
shared = nn.Linear(8, 8)
net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), shared, nn.ReLU(), shared)
net[2].weight.data[0, 0] = 100
print(net[2].weight.data[0] == net[4].weight.data[0], len(list(net.parameters())))


class CenteredLayer(nn.Module):
    def forward(self, X):
        return X - X.mean()


print(CenteredLayer()(torch.FloatTensor([1, 2, 3, 4, 5])))


class MyLinear(nn.Module):
    def __init__(self, i, u):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(i, u))
        self.bias = nn.Parameter(
            torch.randn(
                u,
            )
        )

    def forward(self, X):
        return F.relu(torch.matmul(X, self.weight.data) + self.bias.data)


print(MyLinear(5, 3).weight, MyLinear(5, 3)(torch.rand(2, 5)))


# k-fold
def get_k_fold(k, i, X, y):
    fold = X.shape[0] // k
    Xt = yt = None
    for j in range(k):
        idx = slice(j * fold, (j + 1) * fold)
        Xp, yp = X[idx, :], y[idx]
        if j == i:
            Xv, yv = Xp, yp
        elif Xt is None:
            Xt, yt = Xp, yp
        else:
            Xt = torch.cat([Xt, Xp], 0)
            yt = torch.cat([yt, yp], 0)
    return Xt, yt, Xv, yv


X, y = torch.randn(60, 5), torch.rand(60, 1) + 1


def log_rmse(net, f, l):
    c = torch.clamp(net(f), 1, float("inf"))
    return torch.sqrt(nn.MSELoss()(torch.log(c), torch.log(l))).item()


for i in range(3):
    a, b, c, d = get_k_fold(3, i, X, y)
    net = nn.Sequential(nn.Linear(5, 1))
    opt = torch.optim.Adam(net.parameters(), lr=0.1, weight_decay=0.01)
    for _ in range(10):
        opt.zero_grad()
        nn.MSELoss()(net(a), b).backward()
        opt.step()
    print(f"fold {i + 1}, train log rmse {log_rmse(net, a, b):f}, valid {log_rmse(net, c, d):f}")
