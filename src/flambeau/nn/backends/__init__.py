"""`torch.nn.backends`: empty, as PyTorch's is."""
