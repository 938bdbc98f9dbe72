"""`torch.fx.config`: names that can be set."""

disable_progress = True
verbose_progress = False
