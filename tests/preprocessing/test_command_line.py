"""What the commands share."""

from preprocessing.command_line import shown


def test_halves_of_characters_can_be_shown():
    assert shown("a\ud800b\udcff") == "a\N{REPLACEMENT CHARACTER}b\\xff"
