"""What operators share: checks of arguments, declarations in rows."""
