"""`torch.distributed.elastic.utils`: free ports; the rest is refused by name."""
