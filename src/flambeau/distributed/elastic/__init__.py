"""torch.distributed.elastic: what a rank says of its end. `flambeau launch` does the rest."""
