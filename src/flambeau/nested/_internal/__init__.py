"""How nested tensors are held and computed with."""
