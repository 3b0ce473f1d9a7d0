"""What the commands that train have in common."""

from pathlib import Path

import click
import pytest

from preprocessing.phantoms import mammogram as mammogram_phantoms
from preprocessing.phantoms import mass as mass_phantoms
from preprocessing.shards import DataError
from training.command_line import open_training_data, preset_option, training_command
from training.run import RunError


@pytest.fixture(autouse=True)
def settings_of_this_process(monkeypatch):
    monkeypatch.setattr("training.run.configure_tensorflow", lambda: None)


@pytest.mark.parametrize("error", [DataError, RunError])
def test_what_a_user_got_wrong_is_one_line(error):
    with pytest.raises(click.ClickException, match="--data here: is empty"), training_command():
        raise error("--data here: is empty")


def test_what_we_got_wrong_is_not_hidden():
    with pytest.raises(ZeroDivisionError), training_command():
        1 / 0  # noqa: B018


@pytest.mark.parametrize(
    "kind, module, maker, folder",
    [
        ("mammogram", mammogram_phantoms, "make_phantoms", "data/phantoms/40"),
        ("mass", mass_phantoms, "make_mass_phantoms", "data/mass-phantoms/40"),
    ],
)
def test_without_data_phantoms_of_the_kind_are_made(tmp_path, monkeypatch, capsys, kind, module, maker, folder):
    monkeypatch.chdir(tmp_path)
    made = []
    monkeypatch.setattr(module, maker, lambda output, count: made.append((output, count)))
    with pytest.raises(DataError):  # nothing was really made
        open_training_data(None, kind, 40)
    assert made == [(Path(folder), 40)]
    assert capsys.readouterr().out.endswith(f"phantoms, kept in {folder}\n")


def test_data_of_another_kind_are_refused(tiny_dataset):
    with pytest.raises(DataError, match="mass"):
        open_training_data(tiny_dataset.folder, "mass", 40)


def test_the_first_preset_is_the_default():
    @click.command()
    @preset_option(quick="minutes.", paper="days.")
    def command(preset: str) -> str:
        return preset

    assert command.main([], standalone_mode=False) == "quick"
    assert command.params[0].help == "quick: minutes. paper: days."
