"""Two processes that take turns: commands and answers as lines of JSON on pipes."""

import json
import os
import subprocess
import sys


class WorkerError(RuntimeError):
    """A worker failed at a command, or died."""


class Worker:
    """A process that waits for commands.

    Args:
        environment: added to this process's.
    """

    def __init__(self, name: str, command: list[str], environment: dict[str, str]):
        self.name = name
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        if os.environ.get("WORKER_LOG"):
            pipes["stderr"] = open(os.environ["WORKER_LOG"], "a")  # noqa: SIM115  the process's
        self.process = subprocess.Popen(command, env={**os.environ, **environment}, text=True, **pipes)

    def ask(self, do: str, **arguments) -> dict:
        """Send a command and wait for its answer.

        Raises:
            WorkerError: with the worker's own message, or the fact that it died.
        """
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerError(f"{self.name}: the process is gone") from error
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the process died"}
        if "error" in answer:
            raise WorkerError(f"{self.name}: {do}: {answer['error']}")
        return answer

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def serve(worker: object) -> None:
    """Answer commands with the methods of `worker` until standard input ends; other prints go to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(worker, command.pop("do"))(**command)
        except Exception as error:  # the other side reports it
            answer = {"error": f"{type(error).__name__}: {error}".split("\n")[0]}
            print(repr(error), file=sys.stderr)
        print(json.dumps(answer), file=answers)
