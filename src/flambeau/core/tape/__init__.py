"""What was computed from what: the nodes of the tape."""
