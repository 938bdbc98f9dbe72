import torch, torch.nn as nn, torch.nn.functional as F

torch.manual_seed(5)


def corr2d(X, K):
    h, w = K.shape
    Y = torch.zeros((X.shape[0] - h + 1, X.shape[1] - w + 1))
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = (X[i : i + h, j : j + w] * K).sum()
    return Y


X = torch.ones((6, 8))
X[:, 2:6] = 0
K = torch.tensor([[1.0, -1.0]])
Y = corr2d(X, K)
print(Y)
conv2d = nn.Conv2d(1, 1, kernel_size=(1, 2), bias=False)
X = X.reshape((1, 1, 6, 8))
Y = Y.reshape((1, 1, 6, 7))
lr = 3e-2
for i in range(10):
    Y_hat = conv2d(X)
    l = (Y_hat - Y) ** 2
    conv2d.zero_grad()
    l.sum().backward()
    conv2d.weight.data[:] -= lr * conv2d.weight.grad
    if (i + 1) % 5 == 0:
        print(f"epoch {i + 1}, loss {l.sum():.3f}")
print(conv2d.weight.data.reshape((1, 2)))


class Inception(nn.Module):
    def __init__(self, in_channels, c1, c2, c3, c4, **kwargs):
        super(Inception, self).__init__(**kwargs)
        self.p1_1 = nn.Conv2d(in_channels, c1, kernel_size=1)
        self.p2_1 = nn.Conv2d(in_channels, c2[0], kernel_size=1)
        self.p2_2 = nn.Conv2d(c2[0], c2[1], kernel_size=3, padding=1)
        self.p3_1 = nn.Conv2d(in_channels, c3[0], kernel_size=1)
        self.p3_2 = nn.Conv2d(c3[0], c3[1], kernel_size=5, padding=2)
        self.p4_1 = nn.MaxPool2d(kernel_size=3, stride=1, padding=1)
        self.p4_2 = nn.Conv2d(in_channels, c4, kernel_size=1)

    def forward(self, x):
        return torch.cat(
            (
                F.relu(self.p1_1(x)),
                F.relu(self.p2_2(F.relu(self.p2_1(x)))),
                F.relu(self.p3_2(F.relu(self.p3_1(x)))),
                F.relu(self.p4_2(self.p4_1(x))),
            ),
            dim=1,
        )


class Residual(nn.Module):
    def __init__(self, i, n, use_1x1conv=False, strides=1):
        super().__init__()
        self.conv1 = nn.Conv2d(i, n, kernel_size=3, padding=1, stride=strides)
        self.conv2 = nn.Conv2d(n, n, kernel_size=3, padding=1)
        self.conv3 = nn.Conv2d(i, n, kernel_size=1, stride=strides) if use_1x1conv else None
        self.bn1 = nn.BatchNorm2d(n)
        self.bn2 = nn.BatchNorm2d(n)

    def forward(self, X):
        Y = F.relu(self.bn1(self.conv1(X)))
        Y = self.bn2(self.conv2(Y))
        if self.conv3:
            X = self.conv3(X)
        Y += X
        return F.relu(Y)


nets = {
    "lenet": nn.Sequential(
        nn.Conv2d(1, 6, kernel_size=5, padding=2),
        nn.Sigmoid(),
        nn.AvgPool2d(kernel_size=2, stride=2),
        nn.Conv2d(6, 8, kernel_size=5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.LazyLinear(10),
    ),
    "googlenet": nn.Sequential(
        Inception(1, 2, (2, 4), (2, 3), 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(start_dim=1),
        nn.Linear(11, 10),
    ),
    "resnet": nn.Sequential(
        Residual(1, 4, True, 2), Residual(4, 4), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(4, 10)
    ),
}
x = torch.randn(8, 1, 16, 16)
y = torch.randint(0, 10, (8,))
for name, net in nets.items():
    net(x[:2])
    opt = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    for _ in range(3):
        opt.zero_grad()
        l = F.cross_entropy(net(x), y)
        l.backward()
        opt.step()
    net.eval()
    with torch.no_grad():
        print(name, f"{l.item():.4f}", net(x)[0, :3], sum(p.numel() for p in net.parameters()))
h = x
for layer in nets["lenet"]:
    h = layer(h)
    print(layer.__class__.__name__, "output shape:\t", h.shape)
print(nets["resnet"])
print(nets["lenet"])


class BN(nn.Module):
    def __init__(self, n, dims):
        super().__init__()
        s = (1, n) if dims == 2 else (1, n, 1, 1)
        self.gamma = nn.Parameter(torch.ones(s))
        self.beta = nn.Parameter(torch.zeros(s))
        self.moving_mean = torch.zeros(s)
        self.moving_var = torch.ones(s)

    def forward(self, X):
        if not torch.is_grad_enabled():
            return self.gamma * (X - self.moving_mean) / torch.sqrt(self.moving_var + 1e-5) + self.beta
        if len(X.shape) == 2:
            mean = X.mean(dim=0)
            var = ((X - mean) ** 2).mean(dim=0)
        else:
            mean = X.mean(dim=(0, 2, 3), keepdim=True)
            var = ((X - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
        self.moving_mean = 0.9 * self.moving_mean + 0.1 * mean
        self.moving_var = 0.9 * self.moving_var + 0.1 * var
        self.moving_mean, self.moving_var = self.moving_mean.data, self.moving_var.data
        return self.gamma * (X - mean) / torch.sqrt(var + 1e-5) + self.beta


bn = BN(3, 4)
z = torch.randn(4, 3, 5, 5)
print(bn(z).std(), torch.allclose(bn(z), nn.BatchNorm2d(3)(z), atol=1e-5), bn.moving_var.flatten())
