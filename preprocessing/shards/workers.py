"""Results of many tasks, in their order, from this process, other processes or a Dask cluster."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from preprocessing.shards.format import DataError

Result = TypeVar("Result")


def usable_cores() -> int:
    """Count the cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


@contextmanager
def results_of(
    prepare: Callable[[Any], Result], tasks: Iterable, workers: int, scheduler: str | None
) -> Iterator[Iterator[Result]]:
    """Yield the results of tasks, in order; only some are under way or wait, so that memory stays small.

    Args:
        prepare: Function of one task; both must be picklable.
        workers: Number of processes; 1 works in this one.
        scheduler: Address of a Dask scheduler, to use its workers instead.

    Raises:
        DataError: A worker died, or the scheduler does not answer.
    """
    if scheduler is not None:
        with _cluster(scheduler) as (executor, workers):
            yield _in_order(executor, partial(_on_one_core, prepare), tasks, ahead=4 * workers)
        return
    if workers <= 1:
        yield map(prepare, tasks)
        return
    executor = ProcessPoolExecutor(workers, get_context("spawn"), _leave_with_parent)
    try:
        yield _in_order(executor, partial(_on_one_core, prepare), tasks, ahead=4 * workers)
    except BrokenProcessPool as error:
        raise DataError(
            "a worker process died (out of memory?); finished work is kept: "
            "run the same command again, with fewer --workers"
        ) from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _in_order(executor: Executor, prepare: Callable[[Any], Result], tasks: Iterable, ahead: int) -> Iterator[Result]:
    """Yield results in the order of the tasks."""
    waiting: deque[Future[Result]] = deque()
    for task in tasks:
        with _workers_without_interrupts():
            waiting.append(executor.submit(prepare, task))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@contextmanager
def _workers_without_interrupts() -> Iterator[None]:
    """Start workers that Ctrl-C does not reach: this process ends them, and each would print a traceback."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _on_one_core(prepare: Callable[[Any], Result], task: object) -> Result:
    import cv2

    cv2.setNumThreads(1)  # there is one process per core already
    return prepare(task)


def _leave_with_parent() -> None:
    """End a worker whose parent was killed: it would wait for work without end."""

    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _cluster(address: str) -> Iterator[tuple[Executor, int]]:
    """Yield the executor of a dask cluster, and how many tasks it runs at once."""
    try:
        from distributed import Client
    except ImportError:
        raise DataError(
            "--scheduler needs dask, which is not installed; "
            "install it (pip install 'dask[distributed]') or leave --scheduler out"
        ) from None
    try:
        client = Client(address, timeout=10, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise DataError(
            f"--scheduler {address}: no dask scheduler answers there; "
            "start one (dask scheduler) or leave --scheduler out"
        ) from error
    with client:
        executor = client.get_executor()
        try:
            yield executor, max(1, sum(client.nthreads().values()))
        finally:
            executor.shutdown(wait=False)  # cancels what is still under way
