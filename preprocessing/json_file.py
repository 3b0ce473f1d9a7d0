"""JSON that others may have damaged: whatever is wrong with it is a `ValueError`."""

import json
import math
from pathlib import Path
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """Parse a JSON text.

    Raises:
        ValueError: It is none, holds NaN or an infinite number, or is nested without end, over which Python's parser
            stumbles in its own way.
    """
    try:
        return json.loads(text, parse_float=_finite, parse_constant=_finite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds a JSON object.

    Raises:
        OSError: It cannot be read.
        ValueError: It holds something else.
    """
    content = parse_json(path.read_bytes())
    if not isinstance(content, dict):
        raise ValueError("no JSON object")
    return content


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number of JSON")
    return number
