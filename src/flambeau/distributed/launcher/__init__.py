"""Functions that are run in several processes: the names alone; `flambeau launch` starts scripts."""

from .api import LaunchConfig, elastic_launch, launch_agent

__all__ = ["LaunchConfig", "elastic_launch", "launch_agent"]
