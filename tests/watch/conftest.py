"""The ops database alone, as its own tests start it."""

from tests.include.ops.conftest import empty_ops, server

__all__ = ["empty_ops", "server"]
