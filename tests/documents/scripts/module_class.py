import torch
import torch.nn as nn

torch.manual_seed(0)


class MyModel(nn.Module):
    def __init__(self):
        super(MyModel, self).__init__()
        self.linear = nn.Linear(20, 30)

    def forward(self, x):
        return self.linear(x)


model = MyModel()
for param in model.parameters():
    print(param)
print(list(model.buffers()), [n for n, _ in model.named_parameters()], [n for n, _ in model.named_buffers()])
print(list(model.children()), list(model.modules()))
print(model.state_dict())
print(list(model._parameters), list(model._buffers), list(model._modules), list(model.linear._parameters))
print(model.to(torch.device("cpu")) is model)
print(model._forward_pre_hooks, model._forward_hooks, model._backward_hooks)


class TwoLayers(nn.Module):
    def __init__(self, input_size, hidden_size, output_size):
        super(TwoLayers, self).__init__()
        self.layer1 = nn.Linear(input_size, hidden_size)
        self.layer2 = nn.Linear(hidden_size, output_size)

    def forward(self, x):
        x = torch.relu(self.layer1(x))
        x = self.layer2(x)
        return x


model = TwoLayers(4, 5, 2)
print(model)
model.add_module("extra", nn.Tanh())
model.register_parameter("scale", nn.Parameter(torch.ones(2)))
model.register_buffer("steps", torch.tensor(0))
print(model)
out = model(torch.rand(3, 4))
print(out)
out.sum().backward()
print(model.layer1.weight.grad)
model.zero_grad()
print(model.layer1.weight.grad)
print(model.train(mode=True).training, model.eval().training, model.layer1.training)
torch.save(model.state_dict(), "model.pth")
print(model.load_state_dict(torch.load("model.pth")))
try:
    nn.Module()(1)
except NotImplementedError as error:
    print(str(error)[:49])


class Broken(nn.Module):
    def __init__(self):
        self.linear = nn.Linear(2, 2)


try:
    Broken()
except AttributeError as error:
    print(str(error)[:50])
