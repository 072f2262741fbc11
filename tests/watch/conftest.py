"""The ops database alone, as its own tests start it."""

from tests.include.ops.conftest import empty_ops as empty_ops
from tests.include.ops.conftest import server as server
