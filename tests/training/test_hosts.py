"""Who takes part in a training, and how the hosts meet."""

import json
import socket
import threading
import time

import pytest
from tiny import free_addresses

from training.hosts import HostsError, Link, Members, find_members, meet

THREE = ("node1:1", "node2:2", "node3:3")


# --- who takes part -----------------------------------------------------------------------------


def tf_config(kind: str = "worker", index: int = 0, **jobs: list[str]) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})}


SLURM = {
    "SLURM_PROCID": "0",
    "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_STEP_NODELIST": "node[9-10]",
    "SLURM_STEP_TASKS_PER_NODE": "2,1",
    "SLURM_LOCALID": "1",
    "SLURMD_NODENAME": "node9",
    "SLURM_JOB_ID": "5",
}


@pytest.fixture
def slurm(monkeypatch) -> dict[str, str]:
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)  # where TensorFlow's resolver looks
    return dict(SLURM)


def test_without_any_word_this_host_is_alone():
    assert find_members(None, None, {}) is None


def test_a_list_has_the_chief_first():
    assert find_members("node1:1, node2:2,node3:3", 2, {}) == Members(THREE, 2, "--hosts")


def test_tf_config_of_workers():
    environment = tf_config(index=1, worker=list(THREE))
    assert find_members(None, None, environment) == Members(THREE, 1, "TF_CONFIG")


@pytest.mark.parametrize("kind, index, number", [("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)])
def test_tf_config_counts_its_chief_before_the_workers(kind, index, number):
    environment = tf_config(kind, index, chief=["node1:1"], worker=["node2:2", "node3:3"])
    assert find_members(None, None, environment) == Members(THREE, number, "TF_CONFIG")


def test_a_list_is_heard_before_tf_config():
    environment = tf_config(index=0, worker=["other1:1", "other2:2"])
    assert find_members(",".join(THREE), 1, environment) == Members(THREE, 1, "--hosts")


def test_none_is_heard_before_tf_config():
    assert find_members("none", None, tf_config(worker=list(THREE))) is None


@pytest.mark.parametrize("environment", [tf_config(worker=["node1:1"]), {"TF_CONFIG": "{}"}], ids=["one", "empty"])
def test_tf_config_of_a_single_host_is_one_host(environment):
    assert find_members(None, None, environment) is None


@pytest.mark.parametrize("hosts", [None, "slurm"])
def test_slurm_tells_addresses_and_which_this_is(slurm, hosts):
    """The second of two tasks on node9, with the port after the first's."""
    members = find_members(hosts, None, slurm)
    node, port = members.addresses[members.number].split(":")
    assert node == "node9" and f"node9:{int(port) - 1}" in members.addresses
    assert len(members.addresses) == 3 and members.source == "SLURM"


def test_slurm_tasks_agree_on_their_numbers(slurm):
    """TensorFlow's resolver lists node10 before node9, SLURM ranks node9 first: ranks alone would be wrong."""
    tasks = [("node9", "0"), ("node9", "1"), ("node10", "0")]
    found = [find_members("slurm", None, {**slurm, "SLURMD_NODENAME": n, "SLURM_LOCALID": i}) for n, i in tasks]
    assert {members.addresses for members in found} == {found[0].addresses}
    for (node, _), members in zip(tasks, found, strict=True):
        assert members.addresses[members.number].startswith(f"{node}:")
    assert sorted(members.number for members in found) == [0, 1, 2]


def test_another_job_of_slurm_has_other_ports(slurm):
    first = find_members("slurm", None, slurm).addresses
    assert not set(first) & set(find_members("slurm", None, {**slurm, "SLURM_JOB_ID": "6"}).addresses)


def test_a_slurm_step_of_one_task_is_one_host():
    assert find_members(None, None, {**SLURM, "SLURM_STEP_NUM_TASKS": "1"}) is None


@pytest.mark.parametrize(
    "hosts, number, environment, words",
    [
        ("node1:1,node2:2", None, {}, "--hosts: say with --host-number which of the 2 this is"),
        ("node1:1,node2:2", 2, {}, "--host-number 2: the hosts of --hosts are numbered from 0 to 1"),
        ("node1:1,node2:2", -1, {}, "--host-number -1: the hosts of --hosts are numbered"),
        (None, 1, {}, "add --hosts"),
        ("node1:1,node2", 0, {}, '--hosts: "node2" is not an address such as node1:12345'),
        ("node1:1,node2:99999", 0, {}, '"node2:99999" is not an address'),
        ("node1:1,node1:1", 0, {}, "--hosts: node1:1 is listed twice"),
        ("slurm", None, {}, "--hosts slurm: SLURM_PROCID is not set; start the command with srun"),
        (None, None, {"TF_CONFIG": "{"}, "TF_CONFIG: must be JSON such as"),
        (None, None, {"TF_CONFIG": "[]"}, "TF_CONFIG: must be JSON such as"),
        (None, None, tf_config(chief=["a:1", "b:1"], worker=["c:1"]), "TF_CONFIG: names 2 chiefs"),
        (None, None, tf_config("ps", worker=["a:1", "b:1"]), 'TF_CONFIG: this task is of type "ps"'),
        (None, None, tf_config(index=2, worker=["a:1", "b:1"]), 'TF_CONFIG: there is no "worker" 2'),
        (None, None, tf_config("chief", worker=["a:1", "b:1"]), 'TF_CONFIG: there is no "chief" 0'),
    ],
)
def test_settings_that_cannot_be_are_one_line_with_a_cure(hosts, number, environment, words):
    with pytest.raises(HostsError) as error:
        find_members(hosts, number, environment)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_task_that_slurm_does_not_list_is_one_line(slurm):
    with pytest.raises(HostsError, match="SLURM: this task, node7:.* is not among those of the job step"):
        find_members("slurm", None, {**slurm, "SLURMD_NODENAME": "node7"})


# --- messages -----------------------------------------------------------------------------------


@pytest.fixture
def pair():
    with socket.create_server(("127.0.0.1", 0)) as server:
        links = [Link(socket.create_connection(server.getsockname())), Link(server.accept()[0])]
    yield links
    for link in links:
        link.close()


def test_messages_arrive_whole_and_in_order(pair):
    here, there = pair
    there.tell({"long": "x" * 200_000})
    there.tell([1, None])
    assert here.hear() == {"long": "x" * 200_000} and here.hear() == [1, None]


def test_no_message_in_time_is_a_timeout(pair):
    with pytest.raises(TimeoutError):
        pair[0].hear(0.05)


def test_a_link_ends_when_the_other_closes_it(pair):
    here, there = pair
    assert not here.ended()
    there.close()
    assert here.ended()
    with pytest.raises(ConnectionError):
        here.hear(5)


# --- meeting ------------------------------------------------------------------------------------


def together(addresses, wait: float = 5.0, numbers=None, **alike_of) -> list:
    """What each host got from `meet`: its links, or the error's text."""
    numbers = range(len(addresses)) if numbers is None else numbers
    found = [None] * len(numbers)

    def one(place: int, number: int) -> None:
        alike = {"GPUs": alike_of.get(f"gpus_{number}", 0)}
        try:
            found[place] = meet(Members(addresses, number, "--hosts"), alike, wait)
        except HostsError as error:
            found[place] = str(error)

    threads = [threading.Thread(target=one, args=pair) for pair in enumerate(numbers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found


def test_three_hosts_meet_whoever_comes_first():
    chief, first, second = together(free_addresses(3))
    assert sorted(chief) == [1, 2] and list(first) == list(second) == [0]
    chief[2].tell("to the third")
    assert second[0].hear(5) == "to the third"
    first[0].tell("from the second")
    assert chief[1].hear(5) == "from the second"


def test_ports_are_free_for_tensorflow_after_the_meeting():
    addresses = free_addresses(2)
    links = together(addresses)
    for address in addresses:
        socket.create_server(("", int(address.split(":")[1]))).close()
    assert all(links)


def test_a_host_that_does_not_come_is_named_in_time():
    addresses = free_addresses(3)
    began = time.monotonic()
    chief, first = together(addresses, wait=1.0, numbers=[0, 1])
    assert (
        chief
        == first
        == (f"host 2 ({addresses[2]}) did not come within 1 s; start all hosts, or list only those that run")
    )
    assert time.monotonic() - began < 5


def test_a_chief_that_is_not_there_is_named_in_time():
    addresses = free_addresses(2)
    began = time.monotonic()
    (said,) = together(addresses, wait=1.0, numbers=[1])
    assert said.startswith(f"host 0 ({addresses[0]}) could not be reached within 1 s (Connection refused)")
    assert time.monotonic() - began < 5


def test_a_name_that_nobody_knows_is_said_at_once():
    addresses = ("nowhere.invalid:12345", free_addresses(1)[0])
    began = time.monotonic()
    (said,) = together(addresses, wait=60.0, numbers=[1])
    assert said.startswith("--hosts: host 0 (nowhere.invalid:12345) has an unknown name")
    assert time.monotonic() - began < 30


def test_two_hosts_of_one_number_stop_all():
    addresses = free_addresses(3)
    found = together(addresses, numbers=[0, 1, 1])
    assert found == [f"two processes were started as host 1 ({addresses[1]}); give each host its own number"] * 3


def test_two_chiefs_on_one_machine_are_one_line():
    addresses = free_addresses(2)
    found = together(addresses, wait=1.0, numbers=[0, 0])
    assert any(f"host 0 ({addresses[0]}): cannot listen on port" in said for said in found)


def test_a_port_that_is_taken_is_one_line():
    addresses = free_addresses(2)
    with socket.create_server(("", int(addresses[1].split(":")[1]))):
        (said,) = together(addresses, wait=1.0, numbers=[1])
    assert said.startswith(f"host 1 ({addresses[1]}): cannot listen on port") and "choose another port" in said


def test_hosts_that_differ_say_in_what():
    addresses = free_addresses(2)
    found = together(addresses, gpus_1=4)
    assert found == [f"GPUs: 4 on host 1 ({addresses[1]}), 0 on host 0 ({addresses[0]}); they must be equal"] * 2


def test_another_list_of_hosts_is_refused():
    addresses = free_addresses(3)
    said = []

    def chief() -> None:
        with pytest.raises(HostsError) as error:
            meet(Members(addresses[:2], 0, "--hosts"), {}, 5)
        said.append(str(error.value))

    thread = threading.Thread(target=chief)
    thread.start()
    with pytest.raises(HostsError, match="host 1 was started with other hosts"):
        meet(Members((addresses[0], addresses[2]), 1, "--hosts"), {}, 5)
    thread.join(10)
    assert len(said) == 1 and "was started with other hosts" in said[0]


def test_a_stranger_at_the_port_is_ignored():
    addresses = free_addresses(2)
    found = []
    thread = threading.Thread(target=lambda: found.append(meet(Members(addresses, 0, "--hosts"), {}, 10)))
    thread.start()
    host, port = addresses[0].split(":")
    until = time.monotonic() + 5
    while True:
        try:
            with socket.create_connection((host, int(port))) as stranger:
                stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            break
        except ConnectionRefusedError:
            assert time.monotonic() < until
            time.sleep(0.05)
    assert list(meet(Members(addresses, 1, "--hosts"), {}, 10)) == [0]
    thread.join(10)
    assert list(found[0]) == [1]


def test_a_host_that_was_restarted_before_all_came_takes_its_place_again():
    addresses = free_addresses(3)
    found = {}

    def one(number: int) -> None:
        found[number] = meet(Members(addresses, number, "--hosts"), {}, 10)

    threads = [threading.Thread(target=one, args=(0,))]
    threads[0].start()
    host, port = addresses[0].split(":")
    until = time.monotonic() + 5
    while True:
        try:
            first = Link(socket.create_connection((host, int(port))))
            break
        except ConnectionRefusedError:
            assert time.monotonic() < until
            time.sleep(0.05)
    first.tell({"addresses": list(addresses), "number": 1, "alike": {}})
    time.sleep(0.2)
    first.close()
    threads += [threading.Thread(target=one, args=(number,)) for number in (1, 2)]
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(found[0]) == [1, 2]
