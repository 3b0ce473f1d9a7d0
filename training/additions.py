"""What a preset has and its paper has not: every addition is a named switch, in Python and on the command line."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from preprocessing.errors import UserError

Preset = TypeVar("Preset", bound=Any)


class PresetError(UserError):
    """Settings that do not go together; the message names them and says what to do."""


@dataclass(frozen=True)
class Addition:
    """One addition to a paper (ours).

    Attributes:
        present: preset → whether it has the addition.
        added: preset → the preset with it.
        removed: preset → the preset without it.
        needs: names of the additions that it builds on.
    """

    present: Callable[[Any], bool]
    added: Callable[[Any], Any]
    removed: Callable[[Any], Any]
    needs: tuple[str, ...] = ()


def setting(path: str, on: Any, off: Any, needs: tuple[str, ...] = ()) -> Addition:
    """Make the addition that is one field of a preset.

    Args:
        path: of the field, e.g. "network.low_pass".
        on: its value with the addition.
        off: its value without.
        needs: names of the additions that it builds on.
    """
    names = path.split(".")

    def value(preset: Any) -> Any:
        for name in names:
            preset = getattr(preset, name)
        return preset

    return Addition(
        present=lambda preset: value(preset) != off,
        added=lambda preset: with_field(preset, names, on),
        removed=lambda preset: with_field(preset, names, off),
        needs=needs,
    )


def with_field(settings: Any, names: list[str], value: Any) -> Any:
    """Return a frozen dataclass with another value of a field, which may be within a dataclass that it holds."""
    name, *inner = names
    return replace(settings, **{name: with_field(getattr(settings, name), inner, value) if inner else value})


def changed(
    preset: Preset,
    additions: Mapping[str, Addition],
    *,
    length: float = 1.0,
    adding: Iterable[str] = (),
    without: Iterable[str] = (),
    precision: str | None = None,
) -> Preset:
    """Return a preset with what the command line of every system may change of it.

    Args:
        preset: a frozen dataclass with `lengthened` and `precision`.
        length: factor on the real images that training sees.
        adding, without: additions to switch on and off; one that the preset has already stays as it is.
        precision: "float32" or "mixed_bfloat16"; None keeps the preset's.

    Raises:
        PresetError: an unknown name, or an addition without one that it builds on.
    """
    preset = preset.lengthened(length) if length != 1.0 else preset
    for flag, names in (("--with", adding), ("--without", without)):
        for name in names:
            if name not in additions:
                raise PresetError(f"{flag} {name}: there is no such addition; choose from {', '.join(additions)}")
            addition = additions[name]
            if flag == "--without":
                preset = addition.removed(preset)
            elif not addition.present(preset):
                preset = addition.added(preset)
    for name, addition in additions.items():
        missing = [other for other in addition.needs if not additions[other].present(preset)]
        if addition.present(preset) and missing:
            raise PresetError(f"{name} needs {' and '.join(missing)}; add --without {name}, or --with {missing[0]}")
    return replace(preset, precision=precision) if precision else preset
