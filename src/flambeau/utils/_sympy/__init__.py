"""`torch.utils._sympy`: arithmetic of sizes that are symbols. Sizes are known numbers here, so its classes are refused."""
