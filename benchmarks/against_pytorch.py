"""Time of a training step: the project's against PyTorch's best, on the same networks, losses and batches.

    python -m venv peer && peer/bin/pip install torch numpy
    python benchmarks/against_pytorch.py --peer-python peer/bin/python --phases 1-7 --preset half

The peer's losses and gradients are first compared with the project's. Then PyTorch is given every chance: eager and
compiled, both memory layouts, one and all cores, the system's allocator and whatever tuned ones are installed
(tcmalloc, jemalloc). It also has the project's step, which trains both players on the same generated images; with
`--textbook`, it has the usual one, which generates images for each player. The fastest variants of a phase then take
turns with the project, A B A B …, each in a process of its own, and medians are compared. Neither side has the
diversity term.
"""

import json
import math
import os
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import click
from machine import cpu_name
from pytorch_peer.protocol import Worker, WorkerError

HERE = Path(__file__).resolve().parent
LIBRARY = "/usr/lib/x86_64-linux-gnu/lib{}.so.{}"
KEEP = "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184:glibc.malloc.hugetlb=1"
ALLOCATORS = {  # the library to preload, if any, and its settings: memory is kept, and comes in huge pages
    "glibc": (None, {}),
    "tuned glibc": (None, {"GLIBC_TUNABLES": KEEP}),
    "tcmalloc": (LIBRARY.format("tcmalloc_minimal", 4), {"TCMALLOC_RELEASE_RATE": "0"}),
    "jemalloc": (
        LIBRARY.format("jemalloc", 2),
        {"MALLOC_CONF": "thp:always,metadata_thp:always,dirty_decay_ms:-1,muzzy_decay_ms:-1,oversize_threshold:0"},
    ),
}
SPIN = {"GOMP_SPINCOUNT": "10000"}  # some 0.5 ms; by default PyTorch's threads spin on well into the project's turn
TOLERANCE = 2e-3  # relative; images are float32 even there: they leave 9e-5 in `half`, 1.3e-3 at 512×256 in `paper`
FINALISTS = 2
ROUNDS = 5


@dataclass(frozen=True)
class Candidate:
    """One way in which PyTorch may run: the process that it runs in, and the arguments of its `build`."""

    allocator: str
    threads: int
    compiled: bool
    channels_last: bool
    precision: str
    textbook: bool

    @property
    def build_arguments(self) -> dict:
        """What the peer's `build` needs of it."""
        names = ("compiled", "channels_last", "precision", "textbook")
        return {"variant": {name: getattr(self, name) for name in names}, "threads": self.threads}

    def __str__(self) -> str:
        how, layout = "compiled" if self.compiled else "eager", "NHWC" if self.channels_last else "NCHW"
        cores = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{how} {layout}, {self.allocator}, {cores}"


@dataclass
class Problem:
    """What is timed: a system, a preset, a phase (None: there are none), a precision."""

    system: str
    preset: str
    phase: int | None
    precision: str
    fading: bool

    def __str__(self) -> str:
        phase = "" if self.phase is None else f" phase {self.phase}"
        return f"{self.system} {self.preset}{phase} {self.precision}{' fading in' if self.fading else ''}"


@dataclass
class Result:
    """Milliseconds per step, and what they are worth."""

    problem: str
    ours: float
    peer: float
    best: str
    operations: float
    peak: float
    difference: float
    others: dict[str, float] = field(default_factory=dict)
    screened: dict[str, float] = field(default_factory=dict)

    @property
    def line(self) -> str:
        ours, peer = (self.operations / ms / 1e6 for ms in (self.ours, self.peer))
        others = "".join(f"{name} {ms:.1f} ms, " for name, ms in self.others.items())
        return (
            f"{self.problem}: ours {self.ours:.1f} ms, {others}PyTorch {self.peer:.1f} ms ({self.best}), "
            f"ratio {self.peer / self.ours:.2f}; {self.operations / 1e9:.2f} GFLOP per step, "
            f"{100 * ours / self.peak:.0f} % of peak (PyTorch {100 * peer / self.peak:.0f} %)"
        )


class Project:
    """One version of the project: its processes, started when they are needed.

    A process has one number of threads per operation: one trains the small phases, one all else.
    """

    def __init__(self, path: Path):
        self.environment = {"PYTHONPATH": os.pathsep.join([str(path), str(HERE)])}
        self.workers: dict[int | None, Worker] = {}
        self.worker = self._with_threads(None)

    def _with_threads(self, count: int | None) -> Worker:
        if count not in self.workers:
            command = [sys.executable, "-m", "pytorch_peer.project_worker"]
            setting = {"TF_NUM_INTRAOP_THREADS": str(count)} if count else {}
            self.workers[count] = Worker("project", command, self.environment | setting)
        return self.workers[count]

    def build(self, problem: Problem, precision: str) -> dict:
        """Build the problem in the process that has the threads which training gives it; returns its description."""
        names = ("system", "preset", "phase", "fading")
        arguments = {name: getattr(problem, name) for name in names} | {"precision": precision}
        self.worker = self._with_threads(None)
        spec = self.worker.ask("build", **arguments)
        if spec["threads"] is not None:
            self.worker = self._with_threads(spec["threads"])
            spec = self.worker.ask("build", **arguments)
        return spec


class Bench:
    """The project's processes and PyTorch's, one per allocator.

    Args:
        projects: repositories by name; the first is the one that is compared with PyTorch.
        peer_python: that has PyTorch.
        allocators: names from `ALLOCATORS`.
        seconds: of timing per finalist.
    """

    def __init__(self, projects: dict[str, Path], peer_python: Path, allocators: list[str], seconds: float):
        self.seconds = seconds
        self.projects = {name: Project(path) for name, path in projects.items()}
        self.ours = next(iter(self.projects.values()))
        self.peers = {}
        for allocator in allocators:
            library, settings = ALLOCATORS[allocator]
            environment = {"PYTHONPATH": str(HERE), **SPIN, **settings} | ({"LD_PRELOAD": library} if library else {})
            peer_command = [str(peer_python), "-m", "pytorch_peer.peer_worker"]
            self.peers[allocator] = Worker(f"PyTorch with {allocator}", peer_command, environment)
        self.peaks: dict[str, float] = {}

    def close(self) -> None:
        of_projects = [worker for project in self.projects.values() for worker in project.workers.values()]
        for worker in (*of_projects, *self.peers.values()):
            worker.close()

    def peak(self, precision: str) -> float:
        """GFLOP/s of the faster library's fastest large operation, on all cores."""
        if precision not in self.peaks:
            workers = self.ours.workers[None], next(iter(self.peers.values()))
            self.peaks[precision] = max(worker.ask("peak", precision=precision)["flops"] for worker in workers) / 1e9
            click.echo(f"peak in {precision}: {self.peaks[precision]:.0f} GFLOP/s")
        return self.peaks[precision]

    def compared(self, problem: Problem) -> float:
        """Largest relative difference of a loss or gradient between the project and the peer.

        In float64: deep networks and batch normalisation are too ill-conditioned for float32 to tell an error from
        rounding, which differs as much between two memory layouts of one library.
        """
        spec = self.ours.build(problem, "float64")
        peer = next(iter(self.peers.values()))
        peer.ask("build", name="compared", spec=spec, system=problem.system, threads=1, variant={})
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "step.npz")
            self.ours.worker.ask("dump", path=path)
            answer = peer.ask("compare", name="compared", path=path)
        if not answer["difference"] <= TOLERANCE:
            raise click.ClickException(f"{problem}: {answer['worst']} differs by {answer['difference']:.1e}")
        return answer["difference"]

    def measured(self, problem: Problem, candidates: list[Candidate]) -> Result:
        """Check, screen, and time one problem."""
        difference = self.compared(problem)
        click.echo(f"{problem}: losses and gradients equal to {difference:.0e}", err=True)
        spec = [project.build(problem, problem.precision) for project in self.projects.values()][0]
        operations, screened = self._screened(problem, spec, candidates)
        finalists = sorted(screened, key=screened.get)[:FINALISTS]
        milliseconds = {name: 1000 * seconds for name, seconds in self._in_turn(finalists).items()}
        for peer in self.peers.values():
            peer.ask("forget")
        best = min(finalists, key=milliseconds.get)
        ours, *others = self.projects
        return Result(
            str(problem),
            ours=milliseconds[ours],
            peer=milliseconds[best],
            best=str(best),
            operations=operations,
            peak=self.peak(problem.precision),
            difference=difference,
            others={name: milliseconds[name] for name in others},
            screened={str(candidate): 1000 * seconds for candidate, seconds in screened.items()},
        )

    def _screened(self, problem: Problem, spec: dict, candidates: list[Candidate]) -> tuple[int, dict]:
        """(operations per step, seconds per step of every candidate that runs)."""
        operations, seconds = 0, {}
        for candidate in candidates:
            peer = self.peers[candidate.allocator]
            try:
                peer.ask("build", name=str(candidate), spec=spec, system=problem.system, **candidate.build_arguments)
                operations = operations or peer.ask("operations", name=str(candidate))["operations"]
                seconds[candidate] = self._seconds(peer, self.seconds / 4, name=str(candidate))
                click.echo(f"  {candidate}: {1000 * seconds[candidate]:.1f} ms", err=True)
            except WorkerError as error:
                click.echo(f"  {candidate}: {error}", err=True)
        if not seconds:
            raise WorkerError(f"{problem}: no variant of PyTorch runs")
        return operations, seconds

    def _seconds(self, worker: Worker, budget: float, **arguments) -> float:
        """Median seconds per step, of at least three, after a first run that compiles and one that warms up."""
        worker.ask("run", steps=1, **arguments)
        step = median(worker.ask("run", steps=1, **arguments)["seconds"])
        return median(worker.ask("run", steps=max(3, math.ceil(budget / step)), **arguments)["seconds"])

    def _in_turn(self, finalists: list[Candidate]) -> dict:
        """Median seconds per step of each project, by name, and of each finalist, taking turns."""
        workers = {name: project.worker for name, project in self.projects.items()}
        workers |= {candidate: self.peers[candidate.allocator] for candidate in finalists}
        arguments = {key: {"name": str(key)} if key in finalists else {} for key in workers}
        steps, seconds = {}, {key: [] for key in workers}
        for key, worker in workers.items():
            steps[key] = math.ceil(self.seconds / ROUNDS / self._seconds(worker, 0, **arguments[key]))
        for _ in range(ROUNDS):
            for key, worker in workers.items():
                seconds[key] += worker.ask("run", steps=steps[key], **arguments[key])["seconds"]
        return {key: median(values) for key, values in seconds.items()}


def candidates(
    allocators: list[str], threads: list[int], modes: list[str], layouts: list[str], precision: str, textbook: bool
) -> list[Candidate]:
    """Every combination, in the order of the modes."""
    return [
        Candidate(allocator, count, mode == "compiled", layout == "NHWC", precision, textbook)
        for mode in modes
        for allocator in allocators
        for count in threads
        for layout in layouts
    ]


@click.command(help=__doc__.split("\n")[0])
@click.option("--peer-python", type=click.Path(path_type=Path, exists=True), required=True, help="A Python with torch.")
@click.option("--before", type=click.Path(path_type=Path, exists=True), help="Another version's repository, timed too.")
@click.option("--system", type=click.Choice(["mammograms", "masses"]), default="mammograms", show_default=True)
@click.option("--preset", type=click.Choice(["half", "paper"]), default="half", show_default=True)
@click.option("--phases", default="1,2,3,4,5,6,7", show_default=True, help="Of the mammograms.")
@click.option("--precisions", default="float32", show_default=True, help="float32 and mixed_bfloat16.")
@click.option("--fading", is_flag=True, help="Half-way through the fade-in instead of after it.")
@click.option("--allocators", default=",".join(ALLOCATORS), show_default=True)
@click.option("--threads", default=None, help="PyTorch's, e.g. 1,2.  [default: one and all cores]")
@click.option("--modes", default="eager,compiled", show_default=True)
@click.option("--layouts", default="NCHW,NHWC", show_default=True, help="Of PyTorch's features in memory.")
@click.option("--textbook", is_flag=True, help="Have PyTorch train one player after the other.")
@click.option("--seconds", default=5.0, show_default=True, help="Of timing per finalist; a quarter of it to screen.")
@click.option("--output", type=click.Path(path_type=Path), help="Append results to this file, a line of JSON each.")
def main(
    peer_python: Path,
    before: Path | None,
    system: str,
    preset: str,
    phases: str,
    precisions: str,
    fading: bool,
    allocators: str,
    threads: str | None,
    modes: str,
    layouts: str,
    textbook: bool,
    seconds: float,
    output: Path | None,
) -> None:
    projects = {"ours": HERE.parent} | ({"before": before} if before else {})
    cores = len(os.sched_getaffinity(0))
    counts = [int(count) for count in threads.split(",")] if threads else sorted({1, cores})
    present = [name for name in allocators.split(",") if Path(ALLOCATORS[name][0] or os.sep).exists()]
    numbers = [int(phase) for phase in phases.split(",")] if system == "mammograms" else [None]
    click.echo(f"{cpu_name()}, {cores} cores; PyTorch with {', '.join(present)}")
    bench, results = Bench(projects, peer_python, present, seconds), []
    try:
        for precision in precisions.split(","):
            tried = candidates(present, counts, modes.split(","), layouts.split(","), precision, textbook)
            for phase in numbers:
                result = bench.measured(Problem(system, preset, phase, precision, fading), tried)
                results.append(result)
                click.echo(result.line)
                if output:
                    with open(output, "a") as file:
                        file.write(json.dumps(asdict(result)) + "\n")
    except WorkerError as error:
        raise click.ClickException(str(error)) from error
    finally:
        bench.close()
    ratios = [result.peer / result.ours for result in results]
    click.echo(f"PyTorch / ours, geometric mean: {math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f}")


if __name__ == "__main__":
    main()
