"""How the backup could be built otherwise, each way measured: the table for its ADR. Run by `benchmarks.backup --variants`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from itertools import product

from benchmarks.backup import PEER, Bench, copies, medians
from benchmarks.measured import shell

COUNTED = 'SAID="{\\"out_bytes\\": $(%s | wc -c)}"'
DUMP = "pg_dump --format=custom --compress={}"
FOLDERS = "pg_dump --format=directory --jobs=2 --compress=zstd:1 --file=$TMPDIR/dump"
MB = 256
CIPHERS = {
    "age by pyrage": "import pyrage; to = [pyrage.x25519.Identity.generate().to_public()] * 3"
    "\nwork = lambda: pyrage.encrypt_io(io.BytesIO(data), io.BytesIO(), to)",
    "AES-256-CTR by cryptography": "from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes"
    "\nc = Cipher(algorithms.AES(bytes(32)), modes.CTR(bytes(16))).encryptor()"
    "\nwork = lambda: [c.update(data[at:at + 65536]) for at in range(0, len(data), 65536)]",
    "AES-256-GCM by cryptography": "from cryptography.hazmat.primitives.ciphers.aead import AESGCM; c = AESGCM(bytes(32))"
    "\nwork = lambda: [c.encrypt(at.to_bytes(12), data[at:at + 65536], None) for at in range(0, len(data), 65536)]",
}

Way = Callable[[Bench], list[str]]


def table(bench: Bench, runs: int) -> str:
    """Return Markdown: the median of every way, measured in turns."""
    rounds: dict[str, list[Mapping[str, float]]] = {name: [] for name in ways()}
    for _ in range(runs):
        for name, way in ways().items():
            rounds[name].append(bench.measure(way(bench)))
            print(f"  {name:<60} {json.dumps(rounds[name][-1])}", flush=True)
    lines = ["| way | s | CPU s | peak MB | disk MB | MB out |", "|---|---|---|---|---|---|"]
    return "\n".join([*lines, *(line(name, medians(costs)) for name, costs in rounds.items())])


def line(name: str, cost: Mapping[str, float]) -> str:
    """Return one line of it."""
    out = cost["sent_mb"] or cost.get("out_mb", 0)
    return f"| {name} | {cost['seconds']:.1f} | {cost['cpu_s']:.1f} | {cost['peak_mb']:.0f} | {cost['disk_mb']:.0f} | {out:.0f} |"


def ways() -> Mapping[str, Way]:
    """Return them all by name."""
    return {**dumps(), **ours(), **ciphers(), **peers()}


def dumps() -> Mapping[str, Way]:
    """Dumps that are counted and thrown away: neither sealed nor stored."""
    levels = ("none", "lz4", "gzip:1", "gzip:6", "zstd:1", "zstd:3")
    counted = {f"dump: custom, {level}": DUMP.format(level) for level in levels}
    counted["dump: plain, zstd -1 outside"] = "pg_dump | zstd -1 -c"
    return {
        **{name: scripted(COUNTED % command) for name, command in counted.items()},
        "dump: directory, 2 jobs, zstd:1, to disk": scripted(f"{FOLDERS}; {COUNTED % 'cat $TMPDIR/dump/*'}"),
        "dump: COPY binary, 1 connection, zstd -1": lambda bench: shell(copied(bench, 1)),
        "dump: COPY binary, 2 connections, zstd -1 each": lambda bench: shell(copied(bench, 2)),
    }


def copied(bench: Bench, connections: int) -> str:
    """Return a script that copies in binary; it is what a program of ours could reach at best."""
    return COUNTED % f"({copies(bench.blocks(), 'binary', connections, '| zstd -1 -c')})"


def ours() -> Mapping[str, Way]:
    """Ours without the proof, built otherwise."""
    chosen: dict[str, list[str]] = {"ours as it is": [], "ours, no fingerprint": ["--no-fingerprint"]}
    for level in ("none", "lz4", "gzip:1", "zstd:3"):
        chosen[f"ours, {level}"] = ["--limits", json.dumps({"compression": level})]
    for part, senders in product((8, 16, 32), (1, 3, 6)):
        chosen[f"ours, parts of {part} MB, {senders} senders"] = [f"--part-mb={part}", f"--senders={senders}"]
    chosen["ours, proved"] = []
    for jobs in (1, 4):
        chosen[f"ours, proved, {jobs} restore jobs"] = ["--limits", json.dumps({"restore_jobs": jobs})]
    return {name: running_ours(name, options) for name, options in chosen.items()}


def running_ours(name: str, options: list[str]) -> Way:
    """Return the way that runs ours with these options."""
    return lambda bench: bench.ours("proved" if "proved" in name else "encrypted", *options)


def ciphers() -> Mapping[str, Way]:
    """Encryption alone, in memory."""
    return {f"{name}, {MB} MB": enciphering(code) for name, code in CIPHERS.items()}


def enciphering(code: str) -> Way:
    """Return the way that runs a cipher as `measure` expects."""
    made = f"import io, os; data = os.urandom({MB} << 20)\n{code}"
    said = "print('ready', flush=True); input(); work(); print('done', flush=True); input()"
    return lambda _: [sys.executable, "-c", f"{made}\n{said}"]


def peers() -> Mapping[str, Way]:
    """Physical copies of the cluster, counted and thrown away."""
    server = PEER.format(where="server", to="--no-manifest")  # it cannot be added to what the server has compressed
    return {
        "pg_basebackup, client-zstd:1": scripted(COUNTED % PEER.format(where="client", to="")),
        "pg_basebackup, server-zstd:1, no manifest": scripted(COUNTED % server),
    }


def scripted(script: str) -> Way:
    """Return the way that runs a script."""
    return lambda _: shell(script)
