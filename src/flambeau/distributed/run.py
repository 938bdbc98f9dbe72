"""Processes started by torchrun: refused; there is one process."""

from . import _later

get_args_parser = _later.function("get_args_parser", __name__)
main = _later.function("main", __name__)
run = _later.function("run", __name__)
