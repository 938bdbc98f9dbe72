"""Operators that users register (`torch.library`): schemas from annotations, what a call runs, checks."""
