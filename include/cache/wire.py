"""One connection to Redis, on which many commands are one round trip: what is sent is what stands here, and nothing besides.

The client library's pipelines send each command by itself while keys are watched, and its other calls may use another connection.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from include.probes.redis import explained

if TYPE_CHECKING:
    from redis import Redis

Word = str | bytes | int
Command = Sequence[Word]


class Wire:
    """A connection of a client's pool, for as long as it is open.

    :param client: whose answers are bytes.
    :param setting: that names its Connection, for errors.
    :ivar waited_s: how long the last answers took to begin.
    """

    def __init__(self, client: Redis, setting: str) -> None:
        self.pool: Any = client.connection_pool
        self.setting = setting
        self.connection: Any = None
        self.waited_s = 0.0

    def __enter__(self) -> Wire:
        self.connection = explained(self.pool.get_connection, self.setting)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.disconnect()  # so that nobody inherits what is watched, or an answer that was not read
        self.pool.release(self.connection)

    def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Send them at once and return the answers; the first refusal of the server is raised, after all were read."""
        answers = self.answers(commands)
        for answer in answers:
            if isinstance(answer, Exception):
                explained(partial(_raise, answer), self.setting)
        return answers

    def answers(self, commands: Sequence[Command]) -> list[Any]:
        """Send them at once and return the answers; a refusal of the server is an answer, too."""
        if not commands:
            return []
        began = time.monotonic()
        explained(partial(self._send, commands), self.setting)
        self.waited_s = time.monotonic() - began
        return [explained(self._answer, self.setting) for _ in commands]

    def one(self, *command: Word) -> Any:
        """Send one command and return its answer."""
        return self.ask([command])[0]

    def _send(self, commands: Sequence[Command]) -> None:
        """Send, and wait for the first answer: the server answers when it has done all of them."""
        self.connection.send_packed_command(self.connection.pack_commands(commands))
        self.connection.can_read(timeout=self.connection.socket_timeout)

    def _answer(self) -> Any:
        from redis.exceptions import ResponseError

        try:
            return self.connection.read_response()
        except ResponseError as error:
            return error


def _raise(error: Exception) -> None:
    raise error
