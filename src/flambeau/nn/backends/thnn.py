"""`torch.nn.backends.thnn`: empty, as PyTorch's is."""
