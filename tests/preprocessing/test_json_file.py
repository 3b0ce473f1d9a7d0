"""JSON files that are damaged."""

import pytest

from preprocessing.json_file import read_json

BRACKETS = b"[" * 100_000, b'{"a":' * 100_000
INFINITE = b'{"a": Infinity}', b'{"a": [-Infinity]}', b'{"a": 1e999}', b'{"a": NaN}'


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b'{"a": "\xff"}', *BRACKETS, *INFINITE])
def test_what_is_no_json_object_is_a_value_error(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError):
        read_json(tmp_path / "a.json")
