"""torch.distributed with one process: groups of one rank, in which scripts for many run as they are.

`init_process_group` with a world size of more than one raises RuntimeError: that is not there yet.
"""

import logging

from .collectives import *
from .groups import *
from .objects import *
from .stores import FileStore, HashStore, PrefixStore, Store, TCPStore

log = logging.getLogger(__name__)
