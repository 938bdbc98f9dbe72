"""Parts of `torch.func` under the names of PyTorch's own package."""
