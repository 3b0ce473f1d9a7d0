"""The command that draws phantoms: both kinds, and what it says."""

from commands import command

from preprocessing.shards import open_dataset

call = command("make_phantoms")


def run(*arguments):
    return call(*arguments, "--workers", 1)


def test_masses_are_drawn_and_counted_by_shape_and_margin(tmp_path):
    done = run("--kind", "mass", "--count", 40, "--output", tmp_path / "out")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[4].split() == ["irregular", "2", "2", "2", "2", "2", "10"]
    assert lines[-1].endswith("out: 40 mass phantoms, 36 for training, 4 for validation")
    assert open_dataset(tmp_path / "out", kind="mass").count == 40


def test_mammograms_are_made_as_they_always_were(tmp_path):
    done = run("--count", 2, "--output", tmp_path / "out", "--seed", 1)
    assert done.stdout.splitlines() == [f"{tmp_path}/out: 2 mammogram phantoms, 1 for training, 1 for validation"]
    made = open_dataset(tmp_path / "out", kind="mammogram").meta["made"]
    assert made == {"by": "make_phantoms", "seed": 1, "validation_fraction": 0.1}


def test_output_of_the_other_kind_is_an_error_in_one_line(tmp_path):
    run("--count", 2, "--output", tmp_path / "out")
    done = run("--kind", "mass", "--count", 2, "--output", tmp_path / "out")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        f"Error: {tmp_path}/out: this dataset was made with another kind; "
        "choose another output folder, or delete this one"
    ]
