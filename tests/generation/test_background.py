"""Work in a thread next to the caller's: in order, a few items early or late, and no error lost."""

import threading

import pytest

from generation.background import deferred_calls, prefetch


def counting(numbers, made):
    for number in numbers:
        made.append(number)
        yield number


def test_items_come_in_their_order():
    assert list(prefetch(range(100))) == list(range(100))


def test_items_are_made_before_they_are_asked_for():
    second = threading.Event()

    def items():
        yield 1
        second.set()
        yield 2

    made = prefetch(items(), size=2)
    assert next(made) == 1
    assert second.wait(timeout=10)


def test_no_more_items_are_made_than_fit():
    made = []
    items = prefetch(counting(range(100), made), size=3)
    for number in range(5):
        assert next(items) == number
        assert len(made) <= number + 1 + 3
    items.close()


def test_an_error_comes_in_its_turn():
    def items():
        yield 1
        raise OSError("no more")

    items = prefetch(items())
    assert next(items) == 1
    with pytest.raises(OSError, match="no more"):
        next(items)


def test_a_caller_that_stops_ends_the_thread():
    before = threading.active_count()
    items = prefetch(range(100))
    next(items)
    assert threading.active_count() == before + 1
    items.close()
    assert threading.active_count() == before


def test_calls_are_made_in_their_order():
    done = []
    with deferred_calls(size=2) as later:
        for number in range(100):
            later(done.append, number)
    assert done == list(range(100))


def test_the_caller_goes_on_until_size_calls_wait():
    go = threading.Event()
    passed = []

    def caller():
        with deferred_calls(size=3) as later:
            for number in range(4):
                later(go.wait)
                passed.append(number)

    thread = threading.Thread(target=caller)
    thread.start()
    thread.join(timeout=0.5)
    waiting = list(passed)
    go.set()
    thread.join(timeout=10)
    assert waiting == [0, 1, 2] and passed == [0, 1, 2, 3]


def test_an_error_of_the_last_call_is_raised():
    def full():
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        with deferred_calls() as later:
            later(full)


def test_an_error_of_an_early_call_stops_the_caller():
    passed = []

    def full():
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        with deferred_calls(size=2) as later:
            for number in range(100):
                later(full)
                passed.append(number)
    assert passed == [0, 1]


def test_calls_still_waiting_are_dropped_when_the_caller_fails():
    go, done = threading.Event(), []
    with pytest.raises(KeyboardInterrupt):
        with deferred_calls(size=3) as later:
            later(go.wait, 0.2)
            later(done.append, 1)
            raise KeyboardInterrupt
    assert done == []
