"""Faults of whole servers: stopped, or standing still with every connection open."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path
from xmlrpc.client import Fault as NoSuchProgram

from sandbox.component import NotReadyError
from sandbox.faults.fault import Fault, FaultError, Memo
from sandbox.site import Site
from sandbox.supervise import Supervisor


def stopped(name: str, component: str, *, expect: str) -> Fault:
    """Return the switch that stops a component."""
    return Fault(
        name=name,
        target=f"server/{component}",
        does=f"{component} is stopped",
        expect=expect,
        on=partial(_stop, component=component),
        off=partial(_bring_back, component=component),
    )


def frozen(name: str, component: str, *, expect: str) -> Fault:
    """Return the switch that makes a component stand still: it accepts connections and answers nothing."""
    return Fault(
        name=name,
        target=f"server/{component}",
        does=f"{component} stands still: connections open, nothing answers",
        expect=expect,
        on=partial(_freeze, component=component),
        off=partial(_bring_back, component=component),
    )


def _stop(site: Site, memo: Memo, *, component: str) -> Memo:
    _signal(site, component, signal.SIGCONT)  # one that stands still would not hear the order
    try:
        Supervisor(site).stop_program(component)
    except (OSError, HTTPException) as error:
        raise _unmanaged(component) from error
    return memo


def _start(site: Site, memo: Memo, *, component: str) -> None:
    _signal(site, component, signal.SIGCONT)
    try:
        Supervisor(site).start_program(component)
    except NoSuchProgram as error:
        raise FaultError(f"{component} cannot be started: {error.faultString}") from None
    except (OSError, HTTPException) as error:
        raise _unmanaged(component) from error


def _bring_back(site: Site, memo: Memo, *, component: str) -> None:
    from sandbox.platform import components  # every component's module: only `off` needs them

    _start(site, memo, component=component)
    known = components()[component]
    deadline = time.monotonic() + known.ready_within_s
    while True:
        try:
            return known.ready(site)
        except NotReadyError as reason:
            if time.monotonic() > deadline:
                raise FaultError(
                    f"{component} was started and is not ready: {reason}; `make status` tells more"
                ) from None
        time.sleep(0.3)


def _freeze(site: Site, memo: Memo, *, component: str) -> Memo:
    _start(site, memo, component=component)
    _signal(site, component, signal.SIGSTOP)
    return memo


def _signal(site: Site, component: str, number: signal.Signals) -> None:
    try:
        pid = Supervisor(site).pid(component)
    except NoSuchProgram:
        raise FaultError(f"{component} is no part of this platform; `make status` lists what is") from None
    except (OSError, HTTPException) as error:
        raise _unmanaged(component) from error
    for process in _family(pid) if pid else ():
        with suppress(ProcessLookupError):
            os.kill(process, number)


def _family(pid: int) -> Iterator[int]:
    """Yield a process and all that it started: a database is one process for each session."""
    yield pid
    with suppress(FileNotFoundError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from _family(int(child))


def _unmanaged(component: str) -> FaultError:
    return FaultError(f"no process manager answers, so {component} cannot be switched; `make up` starts the platform")
