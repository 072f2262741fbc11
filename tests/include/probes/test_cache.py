"""Every node is found from any of them, what is dark is named, and keys are looked at where nobody waits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from include.errors import ConfigurationError, TransientError
from include.probes.cache import Node, Nodes, nodes, refuse_cluster
from tests.include.cache.servers import READER, Server, as_, commands, granted, pair, watched

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Server, Server]]:
    with pair() as servers:
        yield servers


def found(first: Server, *named: Server) -> Nodes:
    return nodes(as_(READER), first.place, [each.place for each in named], deadline_s=10)


@pytest.mark.parametrize("at", [0, 1])
def test_bug_60_both_are_found_from_either_and_each_is_one(both: tuple[Server, Server], at: int) -> None:
    primary, replica = both
    seen = found(both[at])
    assert {node.place[1]: node.is_primary for node in seen.seen} == {primary.port: True, replica.port: False}
    assert seen.dark == {}
    assert seen.primary.place == primary.place


def test_bug_66_keys_are_looked_at_on_the_replica(both: tuple[Server, Server]) -> None:
    primary, replica = both
    assert found(primary).walked.place == replica.place
    assert found(primary, primary).walked.place == primary.place


def test_a_replica_that_does_not_follow_is_not_believed() -> None:
    primary = Node(name="a:1", info={"role": "master", "run_id": "a"}, advice="", place=("a", 1))
    behind = Node(
        name="b:1", info={"role": "slave", "master_link_status": "down", "run_id": "b"}, advice="", place=("b", 1)
    )
    assert Nodes(seen=[behind, primary], dark={}).walked is primary
    with pytest.raises(ConfigurationError, match="no node that could be reached says that it is the primary"):
        _ = Nodes(seen=[behind], dark={}).walked


def test_a_node_that_is_gone_is_named_and_the_others_are_seen(both: tuple[Server, Server]) -> None:
    primary, _ = both
    gone = ("127.0.0.1", 1)
    seen = nodes(as_(READER), primary.place, [primary.place, gone], deadline_s=10)
    assert [node.place for node in seen.seen] == [primary.place]
    assert "Redis did not answer" in seen.dark["127.0.0.1:1"].reason


def test_nobody_there_is_an_error() -> None:
    with pytest.raises(TransientError, match="Redis did not answer"):
        nodes(as_(READER), ("127.0.0.1", 1), deadline_s=5)


def test_a_cluster_is_refused_before_a_part_looks_like_the_whole() -> None:
    with pytest.raises(ConfigurationError, match="this is a Redis Cluster"):
        refuse_cluster({"cluster_enabled": 1})
    refuse_cluster({"cluster_enabled": 0})


def test_it_asks_for_figures_and_advice_alone(both: tuple[Server, Server]) -> None:
    primary, _ = both
    with watched(primary) as seen:
        found(primary)
    mine = commands(seen) - {"REPLCONF", "PING"}  # between the two themselves
    assert mine == {"HELLO", "CLIENT SETINFO", "INFO", "MEMORY DOCTOR"}
    assert mine <= granted(READER)
    assert primary.client().acl_log() == []
