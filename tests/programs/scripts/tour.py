import torch
import numpy as np
import math

torch.manual_seed(0)
data = [[1, 2], [3, 4]]
x_data = torch.tensor(data)
np_array = np.array(data)
x_np = torch.from_numpy(np_array)
print(x_data, x_np)
x_ones = torch.ones_like(x_data)
x_rand = torch.rand_like(x_data, dtype=torch.float)
print(f"Ones Tensor: \n {x_ones} \n")
print(f"Random Tensor: \n {x_rand} \n")
shape = (
    2,
    3,
)
rand_tensor = torch.rand(shape)
ones_tensor = torch.ones(shape)
zeros_tensor = torch.zeros(shape)
print(rand_tensor, ones_tensor, zeros_tensor)
tensor = torch.rand(3, 4)
print(f"Shape of tensor: {tensor.shape}")
print(f"Datatype of tensor: {tensor.dtype}")
print(f"Device tensor is stored on: {tensor.device}")
if torch.cuda.is_available():
    tensor = tensor.to("cuda").cpu()
device = torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"
tensor = torch.ones(4, 4)
print(f"First row: {tensor[0]}")
print(f"First column: {tensor[:, 0]}")
print(f"Last column: {tensor[..., -1]}")
tensor[:, 1] = 0
print(tensor)
t1 = torch.cat([tensor, tensor, tensor], dim=1)
print(t1)
y1 = tensor @ tensor.T
y2 = tensor.matmul(tensor.T)
y3 = torch.rand_like(y1)
torch.matmul(tensor, tensor.T, out=y3)
print(y1, torch.equal(y1, y2), torch.equal(y2, y3))
z3 = torch.rand_like(tensor)
torch.mul(tensor, tensor, out=z3)
agg = tensor.sum()
print(agg.item(), type(agg.item()))
tensor.add_(5)
print(tensor)
t = torch.ones(5)
n = t.numpy()
t.add_(1)
print(f"t: {t}\nn: {n}")
n = np.ones(5)
t = torch.from_numpy(n)
np.add(n, 1, out=n)
print(f"t: {t}\nn: {n}")
a = torch.tensor([2.0, 3.0], requires_grad=True)
b = torch.tensor([6.0, 4.0], requires_grad=True)
Q = 3 * a**3 - b**2
external_grad = torch.tensor([1.0, 1.0])
Q.backward(gradient=external_grad)
print(9 * a**2 == a.grad, -2 * b == b.grad)
print(Q)
x = torch.rand(5, 5)
y = torch.rand(5, 5)
z = torch.rand((5, 5), requires_grad=True)
a = x + y
print(f"Does `a` require gradients?: {a.requires_grad}")
b = x + z
print(f"Does `b` require gradients?: {b.requires_grad}")
print(b.grad_fn.next_functions[0][0] is None, b.grad_fn.name())
x = torch.empty(5, 3, dtype=torch.long)
print(x.size(), x.dim(), x.ndim, x.numel(), x.nelement(), x.element_size())
x = x.new_ones(5, 3, dtype=torch.double)
print(x)
print(torch.randn_like(x, dtype=torch.float))
print(x.view(-1, 5).size(), x.view(15).stride(), x.t().is_contiguous())
x = torch.randn(1)
print(x, x.item())
print(torch.arange(10).reshape(2, 5).flip(1), torch.arange(0, 1, 0.25), torch.linspace(-math.pi, math.pi, 5))
print(isinstance(x, torch.Tensor), torch.is_tensor(x), isinstance(x, torch.FloatTensor), x.type(), type(x))
print(
    torch.tensor(3) / 2,
    torch.tensor(7) // 2,
    torch.tensor(-7) % 3,
    2 ** torch.tensor([1.0, 2.0]),
    -torch.tensor([1, 2]),
    ~torch.tensor([True, False]),
)
print(torch.zeros(2, 3).unsqueeze(0).shape, torch.zeros(1, 2, 1).squeeze().shape)
print(f"{torch.tensor(3.14159):.2f} {torch.tensor(5):d} {torch.tensor([1.5, 2.5])}")
x = torch.arange(24).view(2, 3, 4)
print(x.permute(2, 0, 1).shape, x.transpose(0, 1).contiguous().view(-1)[:6].tolist())
print(
    x[x > 20],
    x[:, [0, 2]].shape,
    x[..., ::2].sum(),
    x.float().mean((1, 2)),
    x.max(),
    x.float().std(),
    torch.stack([x, x]).shape,
)
try:
    torch.ones(2, 3) @ torch.ones(2, 3)
except RuntimeError as e:
    print("error", e)
try:
    torch.ones(3) + torch.ones(4)
except RuntimeError as e:
    print("error", e)
try:
    torch.ones(2, 3).view(4, 2)
except RuntimeError as e:
    print("error", e)
try:
    torch.ones(3, requires_grad=True).numpy()
except RuntimeError as e:
    print("error", e)
try:
    (torch.ones(3, requires_grad=True) * 2).backward()
except RuntimeError as e:
    print("error", str(e)[:54])
try:
    torch.ones(3)[5]
except IndexError as e:
    print("error", e)
