"""The progress bar: on a terminal, on standard error, and nowhere else."""

from preprocessing.progress import progress


def fill_a_bar() -> None:
    with progress("Breasts", 4) as tick:
        tick()
        tick(3)


def test_a_terminal_is_shown_what_is_done(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes standard error for a terminal
    fill_a_bar()
    shown = capsys.readouterr()
    assert "Breasts" in shown.err and "4/4" in shown.err
    assert shown.out == ""


def test_a_file_is_left_alone(capsys):
    fill_a_bar()
    shown = capsys.readouterr()
    assert shown.err == shown.out == ""
