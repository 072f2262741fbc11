"""One random fault of each kind, at a random byte or request, and what of the invariants did not hold."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from include.backups.catalogue import Verdict
from include.backups.login import Login
from include.backups.prove import Proof
from include.backups.store import Store
from include.backups.take import Taken
from include.errors import RunbookError
from tests.faults import answers
from tests.faults.storefront import Answer, storefront
from tests.faults.wire import wire
from tests.include.backups.faulty import Outcome, Stood, outcome, unclear, unharmed
from tests.include.backups.world import World, request

STALL_S = 1
TAKE_BYTES, PROOF_BYTES = 5_150_000, 35_000
"""What the server sends while the database of `fill` is taken, and while it is restored and compared."""
TAKE_REQUESTS, PROOF_REQUESTS = 6, 12
"""What is asked of the store meanwhile."""

Dice = random.Random
Deed = Callable[[Stood, Login, Store], Outcome]
Break = Callable[[Stood, Dice], Outcome]


def _take(stood: Stood, login: Login, store: Store) -> Outcome:
    found = outcome(lambda: stood.world.taker(login=login, store=store, stall_s=STALL_S).take(request()))
    if isinstance(found, Taken):
        stood.taken(found)
    return found


def _prove(stood: Stood, login: Login, store: Store) -> Outcome:
    key = stood.unproved()
    found = outcome(lambda: stood.world.prover(server=login, store=store, stall_s=STALL_S).prove(key))
    if isinstance(found, Proof):
        stood.more[key] = Verdict.GOOD
    return found


@dataclass(frozen=True)
class Side:
    """A take or a proof: who does it where, and how much passes meanwhile."""

    deed: Deed
    role: str
    server: str
    user: str
    n_bytes: int
    n_requests: int


TAKES = Side(_take, "ops_backup", "postgres", "backup_writer", TAKE_BYTES, TAKE_REQUESTS)
PROVES = Side(_prove, "ops_verify", "postgres_scratch", "backup_verifier", PROOF_BYTES, PROOF_REQUESTS)


def _line(side: Side, switch: str) -> Break:
    """The line to the server is reset, flips a bit or goes dark at a random byte."""

    def fault(stood: Stood, dice: Dice) -> Outcome:
        with wire(stood.world.site.ports[side.server]) as laid:
            getattr(laid, switch)(dice.randrange(side.n_bytes))
            login = stood.world.login(side.role, side.server, port=laid.port)
            return side.deed(stood, login, stood.world.store(side.user))

    return fault


def _store(side: Side, answer: Callable[[Dice], Answer]) -> Break:
    """The store answers a random request so, once or twice or from then on."""

    def fault(stood: Stood, dice: Dice) -> Outcome:
        with storefront(stood.world.site.ports["s3"]) as front:
            skip, times = dice.randrange(side.n_requests), dice.choice([1, 2, None])
            front.fault(None, answer(dice), skip=skip, times=times)
            return side.deed(stood, *_parties(stood, side, front.port))

    return fault


def _bit(side: Side, operation: str, answer: Callable[[Dice], Answer]) -> Break:
    """One bit of one body flips, once: a second look would not find it."""

    def fault(stood: Stood, dice: Dice) -> Outcome:
        with storefront(stood.world.site.ports["s3"]) as front:
            front.fault(operation, answer(dice), skip=dice.randrange(side.n_requests) % 3, times=1)
            return side.deed(stood, *_parties(stood, side, front.port))

    return fault


def _parties(stood: Stood, side: Side, port: int) -> tuple[Login, Store]:
    return stood.world.login(side.role, side.server), stood.world.store(side.user, port)


def _says_no(dice: Dice) -> Answer:
    codes = [(503, "SlowDown"), (500, "InternalError"), (403, "AccessDenied"), (400, "ExpiredToken")]
    return answers.error(*dice.choice(codes))


def _breaks(dice: Dice) -> Answer:
    return dice.choice(
        [answers.reset(), answers.lost_answer(), answers.hang(), answers.reset_after(dice.randrange(2000))]
    )


KINDS: dict[str, Break] = {
    **{
        f"{name}: the line: {switch}": _line(side, switch)
        for name, side in (("take", TAKES), ("proof", PROVES))
        for switch in ("reset", "flip", "black_hole")
    },
    "take: the store says no": _store(TAKES, _says_no),
    "take: the store breaks": _store(TAKES, _breaks),
    "take: a bit flips on the way up": _bit(TAKES, "PutObject", lambda dice: answers.flip_request(dice.randrange(200))),
    "proof: the store says no": _store(PROVES, _says_no),
    "proof: the store breaks": _store(PROVES, _breaks),
    "proof: a bit flips on the way down": _bit(
        PROVES, "GetObject", lambda dice: answers.flip_answer(dice.randrange(400))
    ),
}
"""By name: break it so, somewhere."""


def fault(world: World, kind: str, dice: Dice) -> Iterator[str]:
    """Break it once; yield what did not hold, nothing if all did."""
    try:
        with unharmed(world) as stood:
            found = KINDS[kind](stood, dice)
            assert not (isinstance(found, RunbookError) and unclear(found)), unclear(found)
    except Exception as error:  # noqa: BLE001 - whatever it is, it did not hold
        print(f"{kind}: {type(error).__name__}: {error}")  # noqa: T201 - what pytest shows of a proof
        yield kind
