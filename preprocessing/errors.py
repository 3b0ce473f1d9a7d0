"""The base of every error that a user can mend."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """Something that a user can mend; the text is one line that says what is wrong, where, and what to do."""


def why(error: OSError) -> str:
    """Say in a few words why the system refused; libraries that raise OSErrors of their own give no other reason."""
    return error.strerror or type(error).__name__


@contextmanager
def system_errors_as(
    kind: type[UserError], place: str | os.PathLike, what: str = "cannot be written", cure: str = ""
) -> Iterator[None]:
    """Turn an OSError into a user error, which says where, what cannot be done, why, and what to do."""
    try:
        yield
    except OSError as error:
        said = f"{place}: {what} ({why(error)})"
        raise kind(f"{said}; {cure}" if cure else said) from error
