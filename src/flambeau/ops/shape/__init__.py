"""Views, and elements in other places."""
