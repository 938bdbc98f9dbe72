"""Where `torch.utils.benchmark` counts instructions: that is refused here."""
