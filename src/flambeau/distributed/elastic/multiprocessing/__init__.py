"""What the ranks of a launch say of their ends."""

__all__ = []
