"""Tensors from sizes, numbers, lists, other libraries' arrays; and back."""
