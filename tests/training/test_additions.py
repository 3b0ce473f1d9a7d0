"""Additions to a paper as switches."""

from dataclasses import dataclass, field

import pytest

from training.additions import PresetError, changed, setting


@dataclass(frozen=True)
class Network:
    filters: int = 8
    smooth: bool = False


@dataclass(frozen=True)
class Preset:
    network: Network = field(default_factory=Network)
    cap: float = 1.0


ADDITIONS = {
    "smooth": setting("network.smooth", True, False),
    "cap": setting("cap", 0.6, 1.0, needs=("smooth",)),
}


def test_an_addition_changes_its_own_field_alone():
    assert changed(Preset(), ADDITIONS, adding=("smooth",)) == Preset(Network(8, True))


def test_an_addition_that_is_present_stays_as_it_is():
    own = Preset(Network(8, True), cap=0.3)
    assert changed(own, ADDITIONS, adding=("cap",)) == own


def test_without_takes_an_addition_away():
    assert changed(Preset(Network(8, True), 0.6), ADDITIONS, without=("cap",)) == Preset(Network(8, True))


@pytest.mark.parametrize("flag, arguments", [("--with", {"adding": ("x",)}), ("--without", {"without": ("x",)})])
def test_an_unknown_name_names_the_flag_and_the_choices(flag, arguments):
    with pytest.raises(PresetError, match=f"{flag} x: there is no such addition; choose from smooth, cap"):
        changed(Preset(), ADDITIONS, **arguments)


def test_an_addition_without_what_it_builds_on_is_refused():
    with pytest.raises(PresetError, match="cap needs smooth; add --without cap, or --with smooth"):
        changed(Preset(), ADDITIONS, adding=("cap",))
