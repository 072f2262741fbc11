"""The ledger of the runbook: which line of the procedures is done where, and which hazard is proved away by what.

`items.yaml` and `hazards.yaml` are the source, `docs/runbook.md` and `docs/hazards.md` are made of them, and
`python -m include.catalogue` compares both with the tree, which it reads without importing it.
"""
