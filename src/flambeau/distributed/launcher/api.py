"""What starts functions as ranks: refused by name. Scripts are started by `torchrun`, functions by `multiprocessing.spawn`."""

from typing import Any

from .. import _later

__all__ = ["LaunchConfig", "elastic_launch", "launch_agent"]

LaunchConfig: Any = _later.kind("LaunchConfig", __name__)
elastic_launch: Any = _later.kind("elastic_launch", __name__)
launch_agent: Any = _later.function("launch_agent", __name__)
