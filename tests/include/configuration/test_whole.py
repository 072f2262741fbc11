"""Taken from a real cluster, stored in a real bucket, proved by a real API server."""

from __future__ import annotations

import base64
import itertools
import logging
from collections.abc import Iterator
from urllib.parse import quote
from uuid import uuid4

import pytest

from include.backups import catalogue, keys
from include.backups.catalogue import Verdict
from include.backups.retire import Observer
from include.checks.configuration import Judge
from include.configuration import bundle, drift, reading, writers
from include.configuration.bundle import Bundle
from include.configuration.normalise import LAST_APPLIED, name
from include.errors import ConfigurationError, VerificationError
from include.findings import Severity
from include.plans.retention import Deed, decide
from include.settings import ConfigurationLimits, RetentionLimits
from sandbox import age_keys
from sandbox.components import s3
from sandbox.components.kubernetes.api import Api
from sandbox.components.kubernetes.layout import admin
from sandbox.site import Site
from tests.include.configuration import menagerie
from tests.include.configuration.menagerie import KINDS
from tests.include.configuration.things import CANARY, KEY
from tests.include.configuration.world import World
from tests.proof import Proof

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def api(site: Site) -> Api:
    return Api(admin(site))


@pytest.fixture(scope="module")
def own(api: Api, site: Site) -> Iterator[World]:
    """A namespace with something of every kind."""
    with menagerie.namespace(api, f"configuration-{uuid4().hex[:6]}") as namespace:
        menagerie.fill(api, namespace, 1)
        yield World(site, namespace, account="admin", folders={})


def test_b_09_bug_18_every_kind_is_in_it_secrets_and_custom_ones_and_what_was_left_out_is_named(own: World) -> None:
    facts = own.take().manifest.facts
    assert set(KINDS) <= set(facts.kinds)
    assert facts.kinds["CustomResourceDefinition"] == 1
    assert facts.unread == {}
    assert facts.left_out["published into every namespace"] == 1


def test_b_14_bug_19_all_of_it_can_be_applied_again_and_only_then_it_is_good_and_locked(own: World) -> None:
    taken = own.take()
    key = taken.manifest.facts.key
    assert reading.find(own.store("backup_verifier"), key).verdict is Verdict.UNPROVED
    proof = own.prover().prove(key, sha256=taken.sha256)
    assert proof.applied + len(proof.rights) + proof.outside == taken.manifest.facts.objects
    assert sorted({each.partition("/")[0] for each in proof.rights}) == ["role", "rolebinding"]
    found = reading.find(own.store("backup_verifier"), key)
    assert found.is_good
    verifier = own.store("backup_verifier")
    assert found.manifest
    assert all(verifier.locked_until(key + part, each.version_id) for part, each in found.manifest.objects.items())


def test_the_scratch_namespace_stays_empty_whatever_the_prover_is_told(own: World, api: Api) -> None:
    own.prover().prove(own.take().manifest.facts.key)
    for plural in ("configmaps", "secrets", "services"):
        found = api.call("GET", f"/api/v1/namespaces/ai-orchestrator-scratch/{plural}")["items"]
        assert [each["metadata"]["name"] for each in found if each["metadata"]["name"] != "kube-root-ca.crt"] == []


def test_b_11_bug_20_a_secret_value_is_nowhere_but_sealed(
    own: World, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    applied = {"metadata": {"annotations": {LAST_APPLIED: f'{{"stringData": {{"password": "{CANARY}"}}}}'}}}
    menagerie.change(api, menagerie.made("Secret", "secret-0", own.namespace), applied)  # as `kubectl apply` leaves it
    key = own.take().manifest.facts.key
    proof = own.prover().prove(key)
    written = (CANARY, base64.b64encode(CANARY.encode()).decode(), quote(CANARY, safe=""))
    site = own.site
    files = [file for part in ("objects", "versions") for file in site.path("s3", part).rglob("*") if file.is_file()]
    assert len(files) > 3
    for word in written:
        assert [str(file) for file in files if word.encode() in file.read_bytes()] == []
        assert word not in caplog.text
        assert word not in repr(proof)
    opened = reading.read(own.store("backup_verifier"), key, own.identity)
    values = [each["data"]["password"] for each in opened.objects if each["kind"] == "Secret"]
    assert written[1] in values


@pytest.mark.proof
def test_configuration_drift(own: World, api: Api, proof: Proof) -> None:
    """Whatever somebody changes of any kind is found, with who and when; Secret values by their fingerprints alone."""
    n = proof.n(small=len(KINDS), full=100)
    kinds = list(itertools.islice(itertools.cycle(KINDS), n))
    with menagerie.namespace(api, f"drift-{uuid4().hex[:6]}") as namespace:
        world = World(own.site, namespace, account="admin", folders={})
        things = [menagerie.made(kind, f"x-{number}", namespace) for number, kind in enumerate(kinds)]
        deeds = {name(thing): proof.random.choice(("change", "change", "add", "remove")) for thing in things}
        for thing in things:
            if deeds[name(thing)] != "add":
                api.apply(thing)
        before = world.take().bundle
        for thing in things:
            _do(api, thing, deeds[name(thing)])
        now = world.take().bundle
    found = drift.differences(before, now)
    by = writers.of(world.reader(), now, found)
    right = {
        each.subject for each in found if each.subject in deeds and _is_told(deeds[each.subject], each, by[each.place])
    }
    proof.held("planted drifts that are found", n=n, held=len(right), kinds=len(set(kinds)), lines=len(found))
    # A definition comes and goes with the first and the last object of its kind.
    assert {each.subject for each in found} - set(deeds) <= {"customresourcedefinition/certificates.cert-manager.io"}


def _do(api: Api, thing: dict, deed: str) -> None:  # type: ignore[type-arg]
    if deed == "change":
        menagerie.change(api, thing, KINDS[thing["kind"]][2])
    elif deed == "add":
        api.apply(thing)
    else:
        api.call("DELETE", api.path(thing), {"propagationPolicy": "Background"})


def _is_told(deed: str, found: drift.Difference, by: drift.Writer | None) -> bool:
    if deed == "change":
        return bool(found.path and by and by.at and by.manager == menagerie.SOMEBODY)
    return not found.path and (found.after is None) == (deed == "remove")


def test_b_10_who_changed_it_and_when_is_told_and_never_a_secret_value(own: World, api: Api) -> None:
    changed = {
        kind: menagerie.made(kind, f"{kind.lower()}-0", own.namespace) for kind in ("ConfigMap", "Secret", "Deployment")
    }
    before = own.take().bundle
    for kind, thing in changed.items():
        menagerie.change(api, thing, KINDS[kind][2])
    now = own.take().bundle
    found = drift.differences(before, now)
    by = writers.of(own.reader(), now, found)
    said = {each.subject: f"{each}" for each in found}
    assert said["configmap/configmap-0"] == "data.level: info -> debug"
    assert said["deployment/deployment-0"].endswith("image: registry.example/main:1 -> registry.example/main:2")
    assert said["secret/secret-0"].startswith("data.password has a new value (fingerprint ")
    assert {writer.manager for writer in by.values() if writer} == {menagerie.SOMEBODY}
    assert all(writer and writer.at for writer in by.values())


@pytest.mark.proof
def test_configuration_unchanged(site: Site, own: World, proof: Proof) -> None:
    """Nothing is told of a cluster that nobody changed, while its controllers are at work."""
    n = proof.n(small=3, full=10)
    quiet = 0
    for world in (World(site), own):
        first = world.take().bundle
        later = [world.take().bundle for _ in range(n)]
        quiet += sum(lines(world, first, each) == [] for each in later)
    proof.held("runs on an unchanged cluster without a line", n=2 * n, held=quiet)


def lines(world: World, before: Bundle, now: Bundle) -> list[str]:
    """What a message would tell of the two, one line an object."""
    found = drift.differences(before, now)
    judge = Judge(namespace=world.namespace, limits=ConfigurationLimits(), now=now.taken_at)
    told = judge.drift(found, writers.of(world.reader(), now, found))
    return [finding.summary for finding in told if finding.severity > Severity.INFO]


def test_the_daily_account_reads_all_of_its_namespace_but_the_kinds_that_it_was_not_given(site: Site) -> None:
    taken = World(site).take()
    assert set(taken.manifest.facts.unread) == {"logs.kwok.x-k8s.io"}
    assert "(403)" in taken.manifest.facts.unread["logs.kwok.x-k8s.io"]
    assert taken.not_as_in_git == {"config": []}


def test_b_13_bug_21_certificates_stand_in_clear_with_their_ends_and_private_keys_only_sealed(site: Site) -> None:
    world = World(site)
    key = world.take().manifest.facts.key
    store = world.store("backup_verifier")
    shown = reading.read_sealed(store, reading.find(store, key))
    assert {each["place"] for each in shown.certificates} == {
        "secret/api-gateway-tls",
        "secret/auth-service-tls",
        "file/certificates/api-gateway.crt",
        "file/certificates/auth-service.crt",
    }
    assert all(each["not_after"] for each in shown.certificates)
    assert [each["path"] for each in shown.files if each["private"]] == [
        "certificates/api-gateway.key",
        "certificates/auth-service.key",
    ]
    clear = store.get(key + keys.OBJECTS, reading.find(store, key).manifest.objects[keys.OBJECTS].version_id)  # type: ignore[union-attr]
    assert b"PRIVATE KEY" not in bundle.unpacked(clear)
    opened = reading.read(store, key, world.identity)
    assert b"PRIVATE KEY" in opened.opened["certificates/api-gateway.key"]


# --- what must end in one sentence, and leave nothing that counts -----------------------------------------------------------


def test_a_namespace_that_does_not_exist_is_one_sentence_and_nothing_is_stored(site: Site) -> None:
    world = World(site, "nowhere", account="admin", folders={})
    with pytest.raises(ConfigurationError, match="there is no namespace nowhere in this cluster"):
        world.take()
    assert list(world.store("backup_verifier").versions(keys.prefix("nowhere", keys.CONFIGURATION))) == []


def test_other_keys_prove_nothing_and_condemn_nothing(own: World) -> None:
    key = own.take().manifest.facts.key
    with pytest.raises(ConfigurationError, match=r"not among configuration\.recipients"):
        own.prover(age_keys.private(own.site, age_keys.OPERATIONAL)).prove(key)
    assert reading.find(own.store("backup_verifier"), key).verdict is Verdict.UNPROVED


def test_a_torn_part_makes_it_bad(own: World) -> None:
    taken = own.take()
    key = taken.manifest.facts.key
    stored = taken.manifest.objects[keys.SECRETS]
    file = next(
        each
        for each in own.site.path("s3").rglob(f"*{keys.SECRETS}*")
        if each.is_file() and key.split("/")[-2] in str(each)
    )
    file.write_bytes(file.read_bytes()[: stored.bytes // 2])
    with pytest.raises(VerificationError, match="is BAD"):
        own.prover().prove(key, sha256=taken.sha256)
    assert reading.find(own.store("backup_verifier"), key).verdict is Verdict.BAD


def test_b_08_a_backup_of_the_configuration_lies_where_nothing_of_the_database_is_looked_for(own: World) -> None:
    key = own.take().manifest.facts.key
    assert key.startswith(f"backups/configuration/{own.namespace}/20")
    assert catalogue.look(own.store("backup_verifier"), own.namespace).backups == []


def test_the_retention_sees_a_configuration_as_it_sees_a_database(own: World) -> None:
    key = own.take().manifest.facts.key
    own.prover().prove(key)
    client = s3.client(own.site)
    client.put_object(Bucket=s3.BUCKET, Key=f"{key}notes.txt", Body=b"x")
    observer = Observer(
        store=own.store("backup_verifier"),
        database=own.namespace,
        limits=RetentionLimits(),
        in_use={},
        kind=keys.CONFIGURATION,
    )
    observed = observer.look()
    (seen,) = [each for each in observed.backups if each.key == key]
    assert (seen.is_good, list(seen.strange)) == (True, ["notes.txt"])
    assert {each.key.removeprefix(key) for each in seen.versions} == {*keys.NAMES[keys.CONFIGURATION], "notes.txt"}
    steps = {step.seen.key: step for step in decide(observed, RetentionLimits()).steps}
    assert steps[key].needs_a_person
    assert {step.deed for step in steps.values()} <= {Deed.KEEP}


def test_what_was_taken_without_its_manifest_is_no_backup(own: World) -> None:
    key = own.take().manifest.facts.key
    client = s3.client(own.site)
    client.delete_object(Bucket=s3.BUCKET, Key=key + keys.MANIFEST, VersionId=_version(own, key))
    found = reading.backups(own.store("backup_verifier"), own.namespace)
    assert key not in [each.key for each in found.backups]
    assert key in found.unfinished


def _version(world: World, key: str) -> str:
    return reading.find(world.store("backup_verifier"), key).version_id


def test_the_key_of_the_fingerprints_is_in_none_of_them(own: World) -> None:
    assert KEY.decode() not in repr(own.take().bundle)
