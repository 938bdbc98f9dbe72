import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.modules.utils import _pair

torch.manual_seed(0)
print(_pair(3))
img_tensor = torch.rand(1, 3, 16, 16)

conv_layer = nn.Conv2d(3, 1, 3)
nn.init.xavier_normal_(conv_layer.weight.data)
img_conv = conv_layer(img_tensor)
print(conv_layer, img_conv.shape)
print(img_conv)

conv_layer = nn.ConvTranspose2d(3, 1, 3, stride=2)
nn.init.xavier_normal_(conv_layer.weight.data)
img_conv = conv_layer(img_tensor)
print(conv_layer, img_conv.shape)
print(img_conv)

maxpool_layer = nn.MaxPool2d((2, 2), stride=(2, 2))
img_pool = maxpool_layer(img_tensor)
print(img_pool)

avgpoollayer = nn.AvgPool2d((2, 2), stride=(2, 2))
print(avgpoollayer(img_tensor))
avgpoollayer = nn.AvgPool2d((2, 2), stride=(2, 2), divisor_override=3)
print(avgpoollayer(torch.ones((1, 1, 4, 4))))

img_tensor = torch.randint(high=5, size=(1, 1, 4, 4), dtype=torch.float)
maxpool_layer = nn.MaxPool2d((2, 2), stride=(2, 2), return_indices=True)
img_pool, indices = maxpool_layer(img_tensor)
img_reconstruct = torch.randn_like(img_pool, dtype=torch.float)
maxunpool_layer = nn.MaxUnpool2d((2, 2), stride=(2, 2))
img_unpool = maxunpool_layer(img_reconstruct, indices)
print("raw_img:\n{}\nimg_pool:\n{}".format(img_tensor, img_pool))
print("img_reconstruct:\n{}\nimg_unpool:\n{}".format(img_reconstruct, img_unpool))

inputs = torch.tensor([[1.0, 2, 3]])
linear_layer = nn.Linear(3, 4)
linear_layer.weight.data = torch.tensor([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [3.0, 3.0, 3.0], [4.0, 4.0, 4.0]])
linear_layer.bias.data.fill_(0.5)
output = linear_layer(inputs)
print(inputs, inputs.shape)
print(linear_layer.weight.data, linear_layer.weight.data.shape)
print(output, output.shape)

for name in ("Sigmoid", "tanh", "ReLu", "Tanh", "ReLU", "LeakyReLU", "PReLU"):
    layer = getattr(nn, name, None)
    print(name, None if layer is None else layer()(torch.linspace(-2, 2, 5)))
layer = nn.RReLU()
layer.eval()
print(layer, layer(torch.linspace(-2, 2, 5)))
print(F.relu(torch.linspace(-2, 2, 5)))
