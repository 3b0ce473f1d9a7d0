"""Hosts of one training: what they agree on, what a failure says, and that they train what one process would."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import tiny
from commands import command, refused

from training import cluster as module
from training.checkpoint import checkpoints
from training.cluster import ALONE, Cluster, current
from training.hosts import HostsError, Link, Members

ADDRESSES = ("node1:1", "node2:2", "node3:3")


@pytest.fixture
def three():
    """Three hosts that have met, within this process."""
    links, others = {}, []
    with socket.create_server(("127.0.0.1", 0)) as server:
        for number in (1, 2):
            other = Link(socket.create_connection(server.getsockname()))
            links[number] = Link(server.accept()[0])
            others.append(Cluster(Members(ADDRESSES, number, "--hosts"), {0: other}))
    clusters = [Cluster(Members(ADDRESSES, 0, "--hosts"), links), *others]
    yield clusters
    for cluster in clusters:
        for link in cluster.links.values():
            link.close()


def at_once(*calls) -> list:
    """What calls return, or the error that they raise, made in threads of their own."""
    found = [None] * len(calls)

    def one(place: int) -> None:
        try:
            found[place] = calls[place]()
        except HostsError as error:
            found[place] = str(error)

    threads = [threading.Thread(target=one, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found


# --- agreements ---------------------------------------------------------------------------------


def test_a_process_is_alone_at_first():
    assert current() is ALONE and ALONE.is_chief and ALONE.count == 1 and ALONE.share == (0, 1)


def test_alone_everything_is_done_at_once(capsys):
    assert ALONE.from_chief(lambda: 3) == 3 and ALONE.after_chief(lambda: 4) == 4
    ALONE.echo("said")
    ALONE.leave()
    assert capsys.readouterr().out == "said\n"


def test_all_get_what_the_chief_finds(three):
    found = at_once(*(lambda c=cluster: c.from_chief(lambda: [c.members.number, "x"]) for cluster in three))
    assert found == [[0, "x"]] * 3


def test_the_others_act_after_the_chief(three):
    order = []

    def act(number: int) -> int:
        time.sleep(0.2 if number == 0 else 0)
        order.append(number)
        return number

    found = at_once(*(lambda c=cluster: c.after_chief(lambda: act(c.members.number)) for cluster in three))
    assert found == [0, 1, 2] and order[0] == 0


def test_only_the_chief_prints(three, capsys):
    for cluster in three:
        cluster.echo(f"from {cluster.members.number}")
    assert capsys.readouterr().out == "from 0\n"


def test_shares_are_by_number(three):
    assert [cluster.share for cluster in three] == [(0, 3), (1, 3), (2, 3)]


def test_the_checkpoints_are_those_that_the_chief_sees(three, tmp_path):
    for images in (8, 16):
        (tmp_path / f"checkpoint-{images:010d}.h5").write_bytes(b"")
    calls = [lambda: three[0].checkpoints(tmp_path)]
    calls += [lambda c=cluster: c.checkpoints(tmp_path / "nothing here") for cluster in three[1:]]
    assert at_once(*calls) == [checkpoints(tmp_path)] * 3


def test_nobody_leaves_before_all_are_done(three):
    left = []

    def leave(cluster: Cluster) -> None:
        time.sleep(0.3 if cluster.members.number == 2 else 0)
        working = time.monotonic()
        cluster.leave()
        left.append((working, time.monotonic()))

    at_once(*(lambda c=cluster: leave(c) for cluster in three))
    assert min(end for _, end in left) >= max(begin for begin, _ in left)


# --- failures -----------------------------------------------------------------------------------


def test_a_chief_that_stops_is_said_to_those_who_wait_for_it(three):
    for link in three[0].links.values():
        link.close()
    with pytest.raises(
        HostsError, match=r"host 0 \(node1:1\) stopped, so the whole training stops; .* start all hosts"
    ):
        three[1].from_chief(lambda: None)


def test_all_learn_from_the_chief_which_host_stopped(three):
    three[2].links[0].close()
    chief, other = at_once(*(lambda c=cluster: c.whose_failure("any", seconds=5) for cluster in three[:2]))
    assert chief == other and chief.startswith("host 2 (node3:3) stopped")


def test_a_chief_that_died_is_named_by_the_others(three):
    for link in three[0].links.values():
        link.close()
    assert three[2].whose_failure("any", seconds=5).startswith("host 0 (node1:1) stopped")


def test_a_host_that_is_silent_is_named_from_what_tensorflow_says(three):
    error = "tasks are unhealthy (stopped sending heartbeats):\n/job:worker/replica:0/task:2\nThe tasks have crashed."
    found = at_once(*(lambda c=cluster: c.whose_failure(error, seconds=0.2) for cluster in three[:2]))
    assert all(said.startswith("host 2 (node3:3) stopped") for said in found)


def test_an_error_that_is_no_hosts_failure_is_left_as_it_is(three):
    found = at_once(*(lambda c=cluster: c.whose_failure("out of memory", seconds=0.2) for cluster in three))
    assert found == [None] * 3


def test_others_that_wait_for_the_chief_learn_which_host_stopped(three):
    three[2].links[0].close()
    _, said = at_once(lambda: three[0].whose_failure("any", seconds=5), lambda: three[1].from_chief(lambda: None))
    assert said.startswith("host 2 (node3:3) stopped")


def test_a_host_that_ended_ends_a_process_that_tensorflow_holds(three, monkeypatch):
    ended = []
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(module, "_end", lambda line: (ended.append(line), three[0].left.set()))
    watch = threading.Thread(target=three[0].watch)
    watch.start()
    time.sleep(0.8)
    assert not ended
    three[2].links[0].close()
    watch.join(10)
    assert len(ended) == 1 and ended[0].startswith("host 2 (node3:3) stopped")


def test_the_watch_ends_when_the_hosts_part(three):
    watches = [threading.Thread(target=cluster.watch) for cluster in three]
    for watch in watches:
        watch.start()
    at_once(*(cluster.leave for cluster in three))
    for watch in watches:
        watch.join(10)
    assert not any(watch.is_alive() for watch in watches)


def test_waiting_in_tensorflow_ends_with_one_line():
    code = (
        "import time; from training.cluster import _ends_after\n"
        "with _ends_after(0.2, 'host 1 cannot be reached'): time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tiny.ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=50)
    assert ended.returncode == 1 and ended.stderr.splitlines()[-1] == "Error: host 1 cannot be reached"


@pytest.mark.parametrize("name", ["train_mask_embed", "train_pix2pix", "train_feature2mass"])
def test_wrong_hosts_are_one_line_of_every_command(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = command(name)
    phase = ["--phase", 1] if name == "train_mask_embed" else []
    refused(call(*phase, "--hosts", "node1:1,node2:2"), "--hosts: say with --host-number which of the 2 this is")
    assert current() is ALONE and not list(tmp_path.iterdir())


def test_a_chief_that_is_not_there_is_one_line_of_a_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hosts = ",".join(tiny.free_addresses(2))
    result = command("train_pix2pix")("--hosts", hosts, "--host-number", 1, "--hosts-wait", 1)
    refused(result, "host 0", "could not be reached within 1 s", "start it")


# --- processes ----------------------------------------------------------------------------------

DRIVER = """
from dataclasses import replace
from pathlib import Path

import click
from training.command_line import training_command


@click.command()
@click.argument("data")
@click.argument("folder")
@click.argument("hosts")
@click.argument("number", type=int)
@click.argument("ticks", type=int)
def main(data, folder, hosts, number, ticks):
    with training_command():
        import tiny
        import tensorflow as tf
        from mask_embedding_gan.train import train
        from training.run import run_config
        from preprocessing.shards import open_dataset
        from training.cluster import current
        from training.run import RunDirectory, choose_strategy

        tf.config.threading.set_intra_op_parallelism_threads(1)
        strategy = choose_strategy(None, hosts, number, 60)
        dataset, plan = open_dataset(Path(data)), tiny.preset()
        if ticks:
            first = replace(plan.phases[0], ticks=ticks, stable_images=16 * ticks)
            plan = replace(plan, phases=(first, *plan.phases[1:]))
        run = current().after_chief(lambda: RunDirectory(Path(folder), run_config(plan, dataset, 0)))
        train(dataset, run, plan, 1, strategy=strategy, echo=current().echo)


main()
"""


def started(folder: Path, data: Path, run: Path, count: int = 2, ticks: int = 0) -> list[subprocess.Popen]:
    """Processes that train phase 1 of the tiny preset together; ticks 0: as many as the preset has."""
    driver = folder / "driver.py"
    driver.write_text(DRIVER)
    paths = os.pathsep.join([str(tiny.ROOT), str(tiny.ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"}
    hosts = ",".join(tiny.free_addresses(count))
    commands = [[sys.executable, driver, data, run, hosts, number, ticks] for number in range(count)]
    return [
        subprocess.Popen(list(map(str, line)), env=environment, stdout=-1, stderr=-1, text=True) for line in commands
    ]


@pytest.fixture(scope="module")
def two(tmp_path_factory, tiny_dataset):
    """The run that two processes made, and what each printed."""
    folder = tmp_path_factory.mktemp("hosts")
    hosts = started(folder, tiny_dataset.folder, folder / "run")
    printed = [host.communicate(timeout=300) for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], printed
    return folder / "run", [out for out, _ in printed]


def test_two_hosts_train_the_weights_of_one(two, tiny_run):
    ours, theirs = (checkpoints(folder / "phase-1")[0] for folder in (two[0], tiny_run.path))
    assert ours.name == theirs.name
    with h5py.File(ours) as a, h5py.File(theirs) as b:
        for network in ("generator", "critic", "ema_generator"):
            for name in b[network]:
                x, y = a[network][name][()], b[network][name][()]
                np.testing.assert_allclose(x, y, rtol=0, atol=1e-5 * np.abs(y).max())


def test_one_of_two_hosts_writes_and_prints(two, tiny_run):
    run, (chief, other) = two
    assert len((run / "log.jsonl").read_text().splitlines()) == len(chief.splitlines()) == 3 and not other
    assert (run / "phase-1" / "generator.keras").exists()


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_host_stops_the_other_with_one_line(tmp_path, tiny_dataset, victim):
    hosts = started(tmp_path, tiny_dataset.folder, tmp_path / "run", ticks=100_000)
    log, until = tmp_path / "run" / "log.jsonl", time.monotonic() + 120
    while not (log.exists() and log.read_text().count("\n") >= 2):
        assert time.monotonic() < until and all(host.poll() is None for host in hosts)
        time.sleep(0.1)
    os.kill(hosts[victim].pid, signal.SIGKILL)
    killed = time.monotonic()
    _, said = hosts[1 - victim].communicate(timeout=120)
    assert time.monotonic() - killed < 60 and hosts[1 - victim].returncode == 1
    lines = [line for line in said.splitlines() if not line.startswith(("WARNING: All log messages", "I0000"))]
    assert len(lines) == 1 and lines[0].startswith(f"Error: host {victim} (127.0.0.1:")


@pytest.mark.slow
def test_a_batch_that_three_hosts_cannot_share_is_one_line_on_each(tmp_path, tiny_dataset):
    hosts = started(tmp_path, tiny_dataset.folder, tmp_path / "run", count=3)
    printed = [host.communicate(timeout=120)[1].strip().splitlines() for host in hosts]
    assert [host.returncode for host in hosts] == [1, 1, 1]
    for lines in printed:
        assert lines[-1].endswith("a batch of 8 cannot be shared by 3 devices in groups of 4; use fewer hosts")
