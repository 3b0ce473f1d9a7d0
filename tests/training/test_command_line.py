"""What the commands that train have in common."""

import click
import pytest

from preprocessing.shards import DataError
from training.additions import PresetError
from training.command_line import Options, training_command, training_options
from training.run import RunError


@pytest.fixture(autouse=True)
def settings_of_this_process(monkeypatch):
    monkeypatch.setattr("training.run.configure_tensorflow", lambda: None)


@pytest.mark.parametrize("error", [DataError, RunError, PresetError])
def test_what_a_user_got_wrong_is_one_line(error):
    with pytest.raises(click.ClickException, match="--data here: is empty"), training_command():
        raise error("--data here: is empty")


def test_what_we_got_wrong_is_not_hidden():
    with pytest.raises(ZeroDivisionError), training_command():
        1 / 0  # noqa: B018


@click.command()
@training_options("runs/x", {"quick": "minutes.", "paper": "days."}, ("low_pass", "jitter"), "all that is drawn")
def command(**given: object) -> Options:
    return Options(**given)


def test_the_first_preset_is_the_default():
    assert command.main([], standalone_mode=False).preset == "quick"
    assert next(one for one in command.params if one.name == "preset").help == "quick: minutes. paper: days."


def test_additions_come_as_names():
    options = command.main([], standalone_mode=False)
    assert (options.adding, options.without) == ((), ())
    given = ["--with", "low-pass, jitter", "--without", "jitter"]
    options = command.main(given, standalone_mode=False)
    assert (options.adding, options.without) == (("low_pass", "jitter"), ("jitter",))
