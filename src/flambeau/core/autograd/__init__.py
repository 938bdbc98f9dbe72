"""The engine that runs the tape backwards, and operations that the user differentiates."""
