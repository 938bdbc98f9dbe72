"""What the tools are asked for: `--help` tells what a tool does, and what is misspelt does nothing."""

from __future__ import annotations

import argparse


def asked(document: str | None, **flags: str) -> argparse.Namespace:
    """The arguments of a tool. `flags` are its options without a value, and what each does; `names=` are words that may follow."""
    parser = argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, told in flags.items():
        if name == "names":
            parser.add_argument("names", nargs="*", help=told)
        else:
            parser.add_argument(f"--{name}", action="store_true", help=told)
    return parser.parse_args()


CHECK = "write nothing, and fail if what is there is not current"
