"""What is built on groups of processes, and activation checkpointing as a wrapper."""

from . import join as join
