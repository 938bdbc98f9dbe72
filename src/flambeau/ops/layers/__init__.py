"""The functions of layers and losses."""
