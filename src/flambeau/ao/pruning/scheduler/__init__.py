"""`torch.ao.pruning.scheduler`: how the level of sparsity changes from step to step."""
