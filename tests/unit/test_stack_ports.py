"""Ports of the local stack: last time's, else the usual ones, else free ones."""

import socket
from pathlib import Path

import pytest

from portalbus.infra.stack.errors import StackError
from portalbus.infra.stack.ports import SPARE, USUAL, Ports, choose, is_free, remember, remembered


def all_free(port: int) -> bool:
    return True


def test_the_usual_ports_are_taken_when_they_are_free() -> None:
    notes: list[str] = []
    assert choose(None, notes.append, free=all_free) == USUAL
    assert notes == []


def test_a_taken_usual_port_is_replaced_and_said() -> None:
    notes: list[str] = []
    ports = choose(None, notes.append, spare=[20_001], free=lambda port: port != USUAL.kafka)
    assert ports.kafka == 20_001
    assert ports.postgres == USUAL.postgres
    assert notes == ["port 9092 is taken, so kafka listens on 20001"]


def test_the_ports_of_last_time_come_before_the_usual_ones() -> None:
    last = Ports(20_001, 20_002, 20_003, 20_004, 20_005)
    assert choose(last, lambda text: None, free=all_free) == last


def test_no_port_is_given_to_two_services() -> None:
    ports = choose(None, lambda text: None, usual=Ports(7, 7, 7, 7, 7), spare=range(20_000, 20_010), free=all_free)
    assert len(set(vars(ports).values())) == 5


def test_spare_ports_lie_below_those_of_outgoing_connections() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert SPARE.stop <= first


def test_it_says_so_when_every_candidate_is_taken() -> None:
    with pytest.raises(StackError, match="no port is free for kafka") as caught:
        choose(None, lambda text: None, free=lambda port: False)
    assert "end the programs" in caught.value.remedy


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_free(server.getsockname()[1])


def test_a_port_that_somebody_listens_on_at_every_address_is_not_free() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert not is_free(server.getsockname()[1])


def test_ports_are_remembered(tmp_path: Path) -> None:
    ports = Ports(1, 2, 3, 4, 5)
    remember(tmp_path / "ports.json", ports)
    assert remembered(tmp_path / "ports.json") == ports


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"kafka": 1, "zookeeper": 2}'])
def test_an_unreadable_memory_is_no_memory(tmp_path: Path, text: str) -> None:
    (tmp_path / "ports.json").write_text(text)
    assert remembered(tmp_path / "ports.json") is None
