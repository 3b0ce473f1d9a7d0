"""Ten thousand damaged files of every kind that the software reads, and what it does with each.

Every command must end in one clear line, or take what can still be taken: without a crash, a traceback, a stray line on
the terminal, more than `--seconds` or `--memory`, and without touching a file outside its folders. Prints counts by
outcome; whatever is not "accepted" or "one line" is kept below `--work` with the damaged file. Stopped and started
again, it continues. `--only dicom:17` tries one again.
"""

import json
import os
import shutil
import sys
import time
from collections import Counter
from multiprocessing import get_context
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.fuzzing.seeds import make_seeds  # noqa: E402
from benchmarks.fuzzing.targets import TARGETS  # noqa: E402
from benchmarks.fuzzing.worker import OUTCOMES, serve  # noqa: E402

FINE = ("accepted", "one line")
START_UP = 120.0  # seconds more for the first mutation of a process, which imports


class Server:
    """A process that tries mutations, made anew when it dies, hangs or grows.

    Args:
        work: Its folder.
        seeds: Of the originals.
        seed: Of the damage.
        heavy: Whether its targets need TensorFlow.
        seconds, memory: What one mutation may take, seconds and bytes.
    """

    def __init__(self, work: Path, seeds: Path, seed: int, heavy: bool, seconds: float, memory: int):
        self.work, self._seeds, self._seed, self._heavy = work, seeds, seed, heavy
        self._seconds, self._memory = seconds, memory
        self._process = None

    def tried(self, target: str, number: int) -> tuple[str, str]:
        """Try one mutation; returns the outcome and its detail."""
        fresh = self._process is None
        if fresh:
            self._start()
        self._connection.send((target, number))
        deadline = time.monotonic() + self._seconds + (START_UP if fresh else 0)
        while not self._connection.poll(0.05):
            if not self._process.is_alive():
                return self._ended("crash", f"exit {self._process.exitcode}")
            if self._resident() > self._memory:
                return self._ended("memory", f"{self._resident() / 2**20:.0f} MiB")
            if time.monotonic() > deadline:
                return self._ended("hang", f"over {self._seconds:g} s")
        try:
            return self._connection.recv()
        except EOFError:
            self._process.join(5)
            return self._ended("crash", f"exit {self._process.exitcode}")

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None

    def _start(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        arguments = (theirs, self.work, self._seeds, self._seed, self._heavy)
        self._process = context.Process(target=serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def _resident(self) -> int:
        try:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _ended(self, outcome: str, detail: str) -> tuple[str, str]:
        self.close()
        return outcome, detail


def _plan(count: int) -> list[tuple[str, int]]:
    """Share mutations among the targets, in turn, those of one process together."""
    total = sum(target.share for target in TARGETS.values())
    shares = {name: max(1, round(count * target.share / total)) for name, target in TARGETS.items()}
    names = sorted(TARGETS, key=lambda name: TARGETS[name].heavy)
    return [(name, number) for name in names for number in range(shares[name])]


@click.command()
@click.option("--count", type=click.IntRange(1), default=10_000, show_default=True, help="Mutations.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Another seed, other damage.")
@click.option("--work", type=click.Path(path_type=Path), default=Path("fuzz-work"), show_default=True, help="Folder.")
@click.option("--seconds", type=float, default=20.0, show_default=True, help="That one mutation may take.")
@click.option("--memory", type=float, default=2.0, show_default=True, help="GiB that one process may take.")
@click.option("--only", help="One mutation, TARGET:NUMBER, or all of one TARGET.")
def main(count: int, seed: int, work: Path, seconds: float, memory: float, only: str | None) -> None:
    """Damage files and count what becomes of them."""
    work = work.resolve()
    make_seeds(work / "seeds")
    log = work / f"results-{seed}.jsonl"
    done = (
        {(r["target"], r["number"]): r for r in map(json.loads, log.read_text().splitlines())} if log.exists() else {}
    )
    plan = [(name, -1) for name in TARGETS] + _plan(count)  # first each target whole: it must be accepted
    if only:
        target, _, number = only.partition(":")
        plan = [(target, int(number))] if number else [pair for pair in plan if pair[0] == target]
    servers = {
        heavy: Server(work / f"server-{heavy:d}", work / "seeds", seed, heavy, seconds, int(memory * 2**30))
        for heavy in (False, True)
    }
    for target, number in plan:
        if (target, number) in done and not only:
            continue
        server = servers[TARGETS[target].heavy]
        outcome, detail = server.tried(target, number)
        if outcome in ("hang", "memory"):  # a busy machine; what hundreds before it left in the process
            outcome, detail = server.tried(target, number)
        if number < 0 and outcome != "accepted":
            outcome = "mutation"  # a command that refuses whole files tells nothing about damaged ones
        result = {"target": target, "number": number, "outcome": outcome, "detail": detail}
        done[target, number] = result
        with open(log, "a") as file:
            file.write(json.dumps(result) + "\n")
        if outcome not in FINE:
            click.echo(f"{target}:{number} {outcome}: {detail}"[:400])
            if (server.work / "damaged").exists():
                kept = work / "findings" / f"{seed}-{target}-{number}"
                kept.parent.mkdir(exist_ok=True)
                shutil.copy(server.work / "damaged", kept)
    for server in servers.values():
        server.close()
    _report([done[pair] for pair in plan if pair in done])


def _report(results: list[dict]) -> None:
    by_target = {name: Counter(r["outcome"] for r in results if r["target"] == name) for name in TARGETS}
    seen = [outcome for outcome in OUTCOMES if any(counts[outcome] for counts in by_target.values())]
    click.echo(f"{'':<12}" + "".join(f"{outcome:>15}" for outcome in seen))
    for name, counts in by_target.items():
        if counts:
            click.echo(f"{name:<12}" + "".join(f"{counts[outcome]:>15}" for outcome in seen))
    total = Counter(r["outcome"] for r in results)
    click.echo(f"{'all':<12}" + "".join(f"{total[outcome]:>15}" for outcome in seen))
    fine = sum(total[outcome] for outcome in FINE)
    click.echo(f"{fine} of {len(results)} as they should: {fine / max(1, len(results)):.4f}")


if __name__ == "__main__":
    main()
