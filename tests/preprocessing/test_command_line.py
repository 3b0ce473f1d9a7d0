"""What the commands share."""

import click
from click.testing import CliRunner

from preprocessing.command_line import Command, shown
from preprocessing.errors import UserError


def test_halves_of_characters_can_be_shown():
    assert shown("a\ud800b\udcff") == "a\N{REPLACEMENT CHARACTER}b\\xff"


def test_a_text_is_shown_as_one_line_without_control_characters():
    assert shown("a\nb\x1b[31mc\u2028d\x85é") == "a\\nb\\x1b[31mc\\u2028d\\x85é"


def test_what_a_user_can_mend_ends_in_one_line():
    @click.command(cls=Command)
    def command():
        raise UserError("--data he\nre: is empty; give another")

    result = CliRunner().invoke(command)
    assert (result.exit_code, result.output) == (1, "Error: --data he\\nre: is empty; give another\n")
