"""Groups of processes and what they send each other: the floor under `flambeau.distributed`."""
