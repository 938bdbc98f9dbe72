"""The operator mechanism: from a declaration to a call."""
