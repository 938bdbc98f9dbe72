"""Storages and the tensors that look into them."""
