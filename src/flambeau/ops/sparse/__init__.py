"""Sparse tensors: made, read, changed and multiplied by operators on the dense tensors that they hold."""
