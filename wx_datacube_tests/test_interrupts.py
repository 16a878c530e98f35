"""Interrupts: a Ctrl-C ends a command even where a library made something else of it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from wx_datacube.orchestration.interrupts import heeded_interrupts


@pytest.fixture
def dropped() -> Iterator[None]:
    """A library that drops interruptions."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interruption_that_was_dropped_is_heeded_later(dropped: None) -> None:
    """Once, at the next step."""
    with heeded_interrupts() as heed:
        heed()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            heed()
        heed()


def test_other_signals_are_not_meant(dropped: None) -> None:
    """A terminal that changes its size ends nothing."""
    before = signal.signal(signal.SIGWINCH, lambda *_: None)
    with heeded_interrupts() as heed:
        signal.raise_signal(signal.SIGWINCH)
        heed()
    signal.signal(signal.SIGWINCH, before)


def test_who_was_told_of_signals_before_is_told_again(dropped: None) -> None:
    """What was set up outside is put back, also after an interruption."""
    with heeded_interrupts() as outer:
        with suppress(KeyboardInterrupt), heeded_interrupts() as heed:
            signal.raise_signal(signal.SIGINT)
            heed()
        outer()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            outer()


def test_in_another_thread_it_does_nothing() -> None:
    """Signals come to the main thread only."""
    ended = []

    def work() -> None:
        with heeded_interrupts() as heed:
            heed()
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert ended == [True]
