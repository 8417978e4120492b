"""A process that waits for one that has ended is freed; one that does not wait is left alone."""

import threading

from tiles_ecg.distributed.watch import Watch


def test_what_was_lost_is_answered_by_one_measure_after_the_other_until_the_block_ends() -> None:
    done: list[str] = []
    freed = threading.Event()

    def second() -> None:
        done.append("second")
        freed.set()

    with Watch(lambda: True, (lambda: done.append("first"), second, lambda: done.append("third")), 0.01, 0.01) as watch:
        assert freed.wait(10)
        watch._is_over.set()
    assert done[:2] == ["first", "second"]


def test_a_block_that_ends_by_itself_is_left_alone() -> None:
    done: list[str] = []
    with Watch(lambda: True, (lambda: done.append("first"),), 30, 0.01):
        pass
    assert done == []


def test_nothing_is_done_while_nobody_is_lost() -> None:
    asked = threading.Event()
    done: list[str] = []

    def is_lost() -> bool:
        asked.set()
        return False

    with Watch(is_lost, (lambda: done.append("first"),), 0, 0.01) as watch:
        assert asked.wait(10)
    assert done == []
    assert not watch.is_alive()
