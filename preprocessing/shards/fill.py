"""Prepare a work list in many processes and write it as shards, in its order, with a progress bar.

Results come back in the order of the list and are written one shard at a time, so that a killed run loses at most the
shards in progress.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, TypeVar

from preprocessing.progress import progress
from preprocessing.shards.format import DataError, Item
from preprocessing.shards.sources import Sources, digest_of
from preprocessing.shards.update import Former
from preprocessing.shards.writer import DatasetWriter

Prepare = Callable[[Any], Item | str]  # an item, or the reason why there is none
Result = TypeVar("Result")
Keep = Callable[[int, Sequence[Item]], None]  # a shard's number and its items


def fill(
    writer: DatasetWriter,
    work: Sequence,
    prepare: Prepare,
    *,
    title: str,
    keep: Keep | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    sources: Sources | None = None,
    former: Former | None = None,
) -> None:
    """Prepare and write every shard that the writer still misses.

    Args:
        work: The work list, `writer.count` long; entries and `prepare` must be picklable.
        prepare: Function of one entry; returns the item, or as a string why the entry is rejected. An item may say
            `told_by`: how its patient was told from others.
        title: Of the progress bar.
        keep: Called with every shard before it is written, to keep what a dataset does not hold.
        workers: Number of processes; 1 works in this one. Defaults to the number of usable cores.
        scheduler: Address of a dask scheduler, to use its workers instead.
        sources: What the entries are made from, to note it in the dataset. Defaults to None: nothing is noted.
        former: Of the dataset that this one updates: entries that are taken over. Defaults to None.

    Raises:
        DataError: A worker died, the scheduler does not answer, or the disk is full.
    """
    missing = writer.missing()
    if not missing:
        return
    left = [n for _, numbers in missing for n in numbers if former is None or n not in former]
    tasks = ((work[n], () if sources is None else sources.files[n]) for n in left)
    workers = min(workers or usable_cores(), len(left))
    with _results(partial(_noted, prepare), tasks, workers, scheduler) as results, progress(title, len(left)) as tick:
        converted = zip(left, results, strict=True)
        for shard, numbers in missing:
            items, rejected, doubtful, made = [], [], [], []
            for number in numbers:
                if former is not None and number in former:
                    note, result = former.result(number)
                    made.append(note)
                else:
                    _, (digest, result) = next(converted)
                    if sources is not None:
                        told_by = "" if isinstance(result, str) else str(result.get("told_by", ""))
                        made.append(sources.converted(number, digest, told_by))
                    tick()
                if isinstance(result, str):
                    rejected.append((number, result))
                else:
                    items.append(result)
                    doubtful += [(number, doubt) for doubt in str(result.get("doubtful", "")).splitlines()]
            if sources is not None:
                writer.note(numbers[0], made)
            if keep is not None:
                keep(shard, items)
            writer.write(shard, items, rejected, doubtful)


def _noted(prepare: Prepare, task: tuple[object, Sequence[Path]]) -> tuple[str, Item | str]:
    """Prepare an entry, its files hashed first: what is decoded then is at least as new."""
    entry, files = task
    return digest_of(files) if files else "", prepare(entry)


def usable_cores() -> int:
    """Count the cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


@contextmanager
def _results(
    prepare: Callable[[Any], Result], tasks: Iterable, workers: int, scheduler: str | None
) -> Iterator[Iterator[Result]]:
    """Yield the results of the tasks, in order, from this process, other processes or a cluster."""
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
    """Yield results in the order of the tasks; only a few are under way, so memory stays small."""
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
