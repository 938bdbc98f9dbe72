"""The launcher before torchrun, `python -m torch.distributed.launch`: it tells a script its local rank as an option."""

from __future__ import annotations

import argparse
import warnings

from .run import checked, get_args_parser, run, started

__all__ = ["launch", "main", "parse_args"]


def parse_args(args: list[str] | None) -> argparse.Namespace:
    """torchrun's options and `--use-env`, without which the script is given `--local-rank`."""
    parser = get_args_parser()
    parser.add_argument("--use-env", "--use_env", action="store_true", help="LOCAL_RANK alone tells the local rank")
    return checked(parser, args)


def launch(args: argparse.Namespace) -> None:
    """Start the ranks and wait for them."""
    run(args)


def main(args: list[str] | None = None) -> None:
    """The command line, with a FutureWarning."""
    warnings.warn(
        "The module torch.distributed.launch is deprecated\nand will be removed in future. Use torchrun, "
        "where a script reads `os.environ['LOCAL_RANK']` and gets no `--local-rank`.",
        FutureWarning,
        stacklevel=2,
    )
    started(parse_args, args)


if __name__ == "__main__":
    main()
