"""The parts of the loader: how samples become batches, and how workers make them ahead of time."""

import atexit

from flambeau.utils.data._utils import collate, fetch, pin_memory, signal_handling, worker
from flambeau.utils.data._utils.worker import HAS_NUMPY as HAS_NUMPY
from flambeau.utils.data._utils.worker import IS_WINDOWS as IS_WINDOWS
from flambeau.utils.data._utils.worker import MP_STATUS_CHECK_INTERVAL as MP_STATUS_CHECK_INTERVAL

python_exit_status = False  # whether Python is going down: a loader that is deleted then leaves its processes alone


def _set_python_exit_flag() -> None:
    global python_exit_status
    python_exit_status = True


atexit.register(_set_python_exit_flag)
