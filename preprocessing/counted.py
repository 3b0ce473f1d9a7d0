"""Numbers and their nouns in messages."""


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: "1 image", "2 images", "0 masses"."""
    return f"{number} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Return the plural of a regular noun."""
    return noun + ("es" if noun.endswith(("s", "x")) else "s")


def there_are(number: int) -> str:
    """Write "there is 1", "there are 2"."""
    return f"there {'is' if number == 1 else 'are'} {number}"
