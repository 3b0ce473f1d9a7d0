"""What the commands that train have in common."""

import click
import pytest

from training.additions import PresetError
from training.command_line import additions_options, preset_option, training_command
from training.run import RunError


@pytest.fixture(autouse=True)
def settings_of_this_process(monkeypatch):
    monkeypatch.setattr("training.run.configure_tensorflow", lambda: None)


@pytest.mark.parametrize("error", [KeyError, RunError, PresetError])
def test_what_a_user_got_wrong_is_one_line(error):
    with pytest.raises(click.ClickException, match="--data here: is empty"), training_command(KeyError):
        raise error("--data here: is empty")


def test_what_we_got_wrong_is_not_hidden():
    with pytest.raises(ZeroDivisionError), training_command():
        1 / 0  # noqa: B018


def test_the_first_preset_is_the_default():
    @click.command()
    @preset_option(quick="minutes.", paper="days.")
    def command(preset: str) -> str:
        return preset

    assert command.main([], standalone_mode=False) == "quick"
    assert command.params[0].help == "quick: minutes. paper: days."


def test_additions_come_as_names():
    @click.command()
    @additions_options("low_pass", "jitter")
    def command(adding: tuple[str, ...], without: tuple[str, ...]) -> tuple:
        return adding, without

    assert command.main([], standalone_mode=False) == ((), ())
    given = ["--with", "low-pass, jitter", "--without", "jitter"]
    assert command.main(given, standalone_mode=False) == (("low_pass", "jitter"), ("jitter",))
