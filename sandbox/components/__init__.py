"""One module a system; each exports `COMPONENTS`, which sandbox/platform.py starts in the order of their needs."""
