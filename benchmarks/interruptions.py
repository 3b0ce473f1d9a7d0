"""Random kills, full disks, Ctrl-Cs and pairs of commands in one folder, over all commands at tiny size.

After each, the same command is run again, and its result must be, byte for byte, that of a command that was not
disturbed, with nothing left over; whoever is stopped or refused says so in one line. Prints a line per fault, and
counts. Stopped and started again, it continues.
"""

import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from subprocess import TimeoutExpired

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.interrupting.commands import COMMANDS, digest, left_over, make_inputs, start  # noqa: E402
from benchmarks.interrupting.forked import Forked, import_what_takes_long  # noqa: E402
from benchmarks.interrupting.small_disk import make_room, small_disk  # noqa: E402
from preprocessing.version import commit  # noqa: E402

TIMEOUT = 300.0


class Trial:
    """One disturbance of one command.

    Args:
        work: Folder for results.
        inputs: What the commands read.
        rng: Of the moment.
    """

    def __init__(self, work: Path, inputs: Path, name: str, rng: np.random.Generator):
        self.command, self.inputs, self.rng = COMMANDS[name], inputs, rng
        self.output = work / "trial" / "result"
        shutil.rmtree(self.output.parent, ignore_errors=True)
        self.output.parent.mkdir(parents=True)
        self.expected, self.seconds, self.largest, self.total = _reference(work, inputs, name)

    def kill(self) -> str:
        """Kill the command and its workers at a random moment; they can say nothing."""
        process = self._started()
        time.sleep(self.rng.uniform(0.2, 1.0) * self.seconds)
        _signal(process, signal.SIGKILL)
        process.communicate()
        return self._continued()

    def interrupt(self) -> str:
        """Press Ctrl-C at a random moment: one line and status 130, unless it was over already."""
        process = self._started()
        time.sleep(self.rng.uniform(0.2, 1.0) * self.seconds)
        _signal(process, signal.SIGINT)
        text, code = _ended(process)
        fault = "" if code in (0, 3) else _not_one_line(text, code, 130)
        return fault or self._continued()

    def fill(self) -> str:
        """Let the disk be full at some part of the result, or, where none can be mounted, of the largest file."""
        share = self.rng.uniform(0.05, 0.9)
        with small_disk(self.output.parent, int(share * self.total)) as mounted:
            text, code = _ended(self._started(None if mounted else int(share * self.largest)))
            if mounted:
                make_room(self.output.parent)
            return _not_one_line(text, code, 1) or self._continued()

    def pair(self) -> str:
        """Start the command twice: both end well, or one is refused in one line."""
        first = self._started()
        time.sleep(self.rng.uniform(0, 0.9) * self.seconds)
        second = self._started()
        ends = [_ended(process) for process in (first, second)]
        faults = [_not_one_line(text, code, 1) for text, code in ends if code not in (0, 3)]
        if len(faults) == 2:
            return f"both failed: {ends[0][0].strip()[-200:]} / {ends[1][0].strip()[-200:]}"
        return "".join(faults) or self._wrong() or self._continued()

    def _started(self, limit: int | None = None) -> Forked:
        return start(self.command, self.inputs, self.output, limit)

    def _continued(self) -> str:
        text, code = _ended(self._started())
        if code not in (0, 3) and not (self.command.once and "is there already" in text):
            return f"does not continue (exit {code}): {text.strip()[-300:]}"
        return self._wrong()

    def _wrong(self) -> str:
        found, rest = digest(self.output), left_over(self.output)
        differing = sorted(n for n in self.expected | found if self.expected.get(n) != found.get(n))
        if differing:
            return f"differs: {', '.join(differing[:4])}"
        return f"left over: {', '.join(rest[:4])}" if rest else ""


def _reference(work: Path, inputs: Path, name: str) -> tuple[dict[str, str], float, int, int]:
    """Run a command undisturbed, once; returns digests, seconds, and the bytes of its largest file and of all."""
    kept = work / "reference" / f"{name}-{commit()}.json"  # outputs name the commit
    if not kept.exists():
        folder = work / "reference" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        begin = time.monotonic()
        text, code = _ended(start(COMMANDS[name], inputs, folder / "result"))
        assert code in (0, 3), f"{name} fails undisturbed: {text[-1000:]}"
        seconds = time.monotonic() - begin
        sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
        kept.write_text(json.dumps([digest(folder / "result"), seconds, max(sizes), sum(sizes)]))
        shutil.rmtree(folder)
    expected, seconds, largest, total = json.loads(kept.read_text())
    return expected, seconds, largest, total


def _ended(process: Forked) -> tuple[str, int]:
    try:
        text = process.communicate(TIMEOUT)
    except TimeoutExpired:
        _signal(process, signal.SIGKILL)
        text = process.communicate()
        return f"{text}\nno end after {TIMEOUT:g} s", -1
    return text, process.returncode


def _signal(process: Forked, number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def _not_one_line(text: str, code: int, wanted: int) -> str:
    """Say what is wrong with the end of a command; "" where it is one line and the right status."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    if "Traceback" in text:
        return f"traceback: {lines[-1][:200]}"
    if code != wanted:
        return f"exit {code}, not {wanted}: {' / '.join(lines[-3:])[:300]}"
    said = [line for line in lines if line.startswith(("Error: ", "stopped"))]
    return "" if len(said) == 1 and lines[-1] == said[0] else f"not one line: {' / '.join(lines[-4:])[:300]}"


@click.command()
@click.option("--kills", type=int, default=40, show_default=True)
@click.option("--full-disks", type=int, default=20, show_default=True)
@click.option("--interrupts", type=int, default=20, show_default=True)
@click.option("--pairs", type=int, default=20, show_default=True)
@click.option("--seed", type=int, default=0, help="Another seed, other moments.")
@click.option("--work", type=click.Path(path_type=Path), default=Path("interruptions-work"), show_default=True)
@click.option("--only", multiple=True, type=click.Choice(list(COMMANDS)), help="Disturb only this command. Repeatable.")
def main(
    kills: int, full_disks: int, interrupts: int, pairs: int, seed: int, work: Path, only: tuple[str, ...]
) -> None:
    """Disturb commands and count what is lost."""
    work = work.resolve()
    import_what_takes_long()
    make_inputs(work / "inputs")
    log = work / f"results-{seed}.jsonl"
    results = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    done = {(result["kind"], result["number"]) for result in results}
    names = list(only or COMMANDS)
    for kind, count in {"kill": kills, "fill": full_disks, "interrupt": interrupts, "pair": pairs}.items():
        for number in range(count):
            if (kind, number) in done:
                continue
            name = names[number % len(names)]
            rng = np.random.default_rng([seed, list(b"kfip").index(kind.encode()[0]), number])
            fault = getattr(Trial(work, work / "inputs", name, rng), kind)()
            results.append({"kind": kind, "number": number, "command": name, "fault": fault})
            with open(log, "a") as file:
                file.write(json.dumps(results[-1]) + "\n")
            if fault:
                click.echo(f"{kind} {number} {name}: {fault}")
    for kind in ("kill", "fill", "interrupt", "pair"):
        faults = Counter(bool(result["fault"]) for result in results if result["kind"] == kind)
        click.echo(f"{kind:<10} {sum(faults.values()):>4}, {faults[True]} with a fault")
    well = sum(not result["fault"] for result in results)
    click.echo(f"without a fault / all: {well / max(1, len(results)):.3f}")


if __name__ == "__main__":
    main()
