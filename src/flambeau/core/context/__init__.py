"""What is on in this thread: gradients, a trace, who else may compute a call."""
