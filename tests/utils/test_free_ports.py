"""Ports that scripts ask for before they start ranks."""

import socket
from contextlib import closing

import pytest

from flambeau.distributed.elastic.utils import distributed


def test_a_free_port_can_be_bound() -> None:
    port = distributed.get_free_port()
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", port))


def test_a_socket_keeps_its_port() -> None:
    with (
        closing(distributed.get_socket_with_port()) as found,
        closing(socket.socket(found.family)) as other,
        pytest.raises(OSError, match="in use"),
    ):
        other.bind(found.getsockname()[:2])


def test_stores_of_elastic_agents_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="TCPStore"):
        distributed.create_c10d_store()
