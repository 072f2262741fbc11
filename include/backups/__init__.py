"""Backups of the database: taken, proved, listed, derived. The bucket is the catalogue; nothing else needs to survive.

    take     one snapshot: dump, fingerprint, roles; sealed to age recipients, streamed to a fresh key; the manifest last
    prove    fetch what was stored, open it, restore it into the scratch server, compare; only then GOOD, and locked
    sweep    remove what a killed take or proof left behind
    list     read the bucket (`python -m include.backups list`), without Airflow and without a database

Each has an identity of its own: the taker holds public keys and may only put, the prover reads, marks and locks, the reaper
aborts uploads and deletes. See docs/adr/0030-a-backup-is-one-stream-and-counts-when-restored.md.
"""
