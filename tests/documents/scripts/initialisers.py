import torch
from torch import nn

torch.manual_seed(0)
tensor = torch.empty(3, 5)
print(nn.init.xavier_uniform_(tensor, gain=1))
print(nn.init.xavier_normal_(tensor, gain=1))
print(nn.init.kaiming_uniform_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu"))
print(nn.init.kaiming_normal_(tensor, a=0, mode="fan_out", nonlinearity="leaky_relu"))
print(nn.init.uniform_(tensor, a=0, b=1))
print(nn.init.normal_(tensor, mean=0, std=1))
print(nn.init.constant_(tensor, 0.3))
print(nn.init.eye_(tensor))
print(nn.init.orthogonal_(tensor, gain=1))
print(nn.init.sparse_(tensor, sparsity=0.1, std=0.01))
print(nn.init.trunc_normal_(tensor))
print(nn.init.dirac_(torch.empty(2, 3, 3)))
for name, param in (("sigmoid", None), ("tanh", None), ("relu", None), ("leaky_relu", 0.2), ("selu", None), ("linear", None)):
    print(name, nn.init.calculate_gain(name, param))
