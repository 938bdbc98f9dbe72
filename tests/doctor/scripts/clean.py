import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 3)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


torch.manual_seed(0)
x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
net = Net()
print(net(x).shape)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(2):
    net.train()
    for i in range(0, 32, 8):
        optimizer.zero_grad(set_to_none=bool(epoch))
        nn.functional.cross_entropy(net(x[i : i + 8]), y[i : i + 8]).backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        for i in range(0, 32, 8):
            net(x[i : i + 8]).softmax(1)

# two networks against each other: the first one's values are data for the second
first, second = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 4)), nn.Linear(4, 1)
one, two = torch.optim.Adam(first.parameters()), torch.optim.Adam(second.parameters())
for _ in range(3):
    values = first(torch.randn(8, 2))
    two.zero_grad()
    second(values.detach()).mean().backward()
    two.step()
    one.zero_grad()
    second(values).mean().neg().backward()
    one.step()

# gradients of two halves make one step
net.zero_grad()
for i in range(4):
    net.train()
    nn.functional.cross_entropy(net(x), y).backward()
    if i % 2:
        optimizer.step()
        for p in net.parameters():
            p.grad.zero_()
