"""Free ports of this machine."""

from __future__ import annotations

import socket
from contextlib import closing

from ....runtime.absent import refuse

__all__ = ["get_free_port", "get_socket_with_port"]


def get_free_port() -> int:
    """The number of a port that nobody listens at now; another process may take it at once."""
    with closing(get_socket_with_port()) as found:
        port: int = found.getsockname()[1]
        return port


def get_socket_with_port() -> socket.socket:
    """A socket at a free port of localhost, which is kept until the socket is closed. RuntimeError where there is none."""
    for family, kind, proto, _, _ in socket.getaddrinfo("localhost", None, socket.AF_UNSPEC, socket.SOCK_STREAM):
        made = socket.socket(family, kind, proto)
        try:
            made.bind(("localhost", 0))
            made.listen(0)
        except OSError:
            made.close()
            continue
        return made
    raise RuntimeError("Failed to create a socket: localhost has no address that a port can be bound at")


refuse(globals(), "flambeau launch starts the ranks, and TCPStore is their store", "create_c10d_store")
