"""Files of tensors: all at once, one at a time, parts of one, shared ones, bytes."""

import tempfile
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load, load_file, load_model, save, save_file, save_model
from torch import nn

torch.manual_seed(0)
folder = Path(tempfile.mkdtemp())
first, second = (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)) for _ in range(2))
save_file(first.state_dict(), folder / "net.safetensors", metadata={"format": "pt"})
second.load_state_dict(load_file(folder / "net.safetensors"))
x = torch.randn(3, 4)
print(torch.equal(first(x), second(x)))
with safe_open(folder / "net.safetensors", framework="pt", device="cpu") as file:
    print(sorted(file.keys()), file.metadata())
    print(file.get_tensor("0.bias"), file.get_slice("0.weight")[1:3])
held = load(save({"half": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3), "long": torch.arange(3)}))
print(held["half"], held["long"])


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.b.weight = self.a.weight


one, other = Tied(), Tied()
save_model(one, str(folder / "tied.safetensors"))
print(load_model(other, folder / "tied.safetensors"), torch.equal(one.a.weight, other.b.weight))
try:
    save_file({"a": x, "b": x}, folder / "shared.safetensors")
except RuntimeError as error:
    print(type(error).__name__, "Some tensors share memory" in str(error))
