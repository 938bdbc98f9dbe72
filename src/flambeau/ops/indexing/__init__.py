"""Reading and writing by position, index or mask."""
