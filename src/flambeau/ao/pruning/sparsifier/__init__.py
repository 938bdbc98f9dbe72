"""`torch.ao.pruning.sparsifier`: what computes the masks."""
