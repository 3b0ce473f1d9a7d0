"""The base of every error that a user can mend."""


class UserError(ValueError):
    """Something that a user can mend; the text is one line that says what is wrong, where, and what to do."""
