"""Lines that say now and then how far long work is, where no terminal shows it."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

#: Seconds between two lines. Work that takes less says nothing.
EVERY = 30.0


class Pulse:
    """Tells when the next line is due, ``EVERY`` seconds after the one before; never on a terminal.

    Args:
        clock: the time in seconds, from any start.

    Example:
        >>> pulse = Pulse(clock=iter([0.0, 29.0, 31.0, 32.0]).__next__)
        >>> [pulse.due() for _ in range(3)]
        [False, True, False]
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.started = self._said = clock()

    def due(self) -> bool:
        """Is a line due? The next one then is after another ``EVERY`` seconds."""
        now = self._clock()
        if now - self._said < EVERY or on_terminal():
            return False
        self._said = now
        return True

    def left(self, done: float, of: float) -> str:
        """About how long the rest takes, in words, at the speed since the start.

        Example:
            >>> Pulse(clock=iter([0.0, 60.0]).__next__).left(1, 4)
            'about 3 min left'
        """
        return f"about {duration((self._clock() - self.started) * (of - done) / done)} left"


def duration(seconds: float) -> str:
    """A time in words.

    Example:
        >>> duration(44.6), duration(150), duration(9000)
        ('45 s', '2 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def on_terminal() -> bool:
    """Does a terminal, or a notebook, show what is written to standard error, and bars?"""
    notebook = "ipykernel" in sys.modules
    return notebook or (sys.stderr is not None and sys.stderr.isatty())


@contextmanager
def heartbeat(what: str) -> Iterator[None]:
    """Log every ``EVERY`` seconds, off a terminal, that work in one piece still runs."""
    over = threading.Event()

    def beat() -> None:
        started = time.monotonic()
        while not over.wait(EVERY):
            if not on_terminal():
                log.info("%s: still running after %s", what, duration(time.monotonic() - started))

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
