"""The table in which a preparation ends."""

import re
from types import SimpleNamespace

import numpy as np

from preprocessing.summary import summary_table


def conversion(reasons: dict[int, str]) -> SimpleNamespace:
    fields = {"laterality": ["L", "L", ""], "view": ["CC", "MLO", "CC"], "density": [1, 4, 0]}
    dataset = SimpleNamespace(
        count=3,
        kind="mammogram",
        meta={"images": {"train": 2, "validation": 1}, "subjects": {"train": 1, "validation": 1}},
        field=lambda name: np.array(fields[name]),
    )
    return SimpleNamespace(dataset=dataset, given=3 + len(reasons), reasons=reasons, doubts={0: "dim", 2: "dim"})


def rows(text: str) -> dict[str, str]:
    lines = [re.fullmatch(r"(\S.*?) {2,}(.*)", line) for line in text.splitlines()]
    return {line[1]: " ".join(line[2].split()) for line in lines if line}


def test_the_table_counts_everything():
    table = rows(summary_table(conversion({4: "empty file"}), "image"))
    assert table["images found"] == "4" and table["taken"] == "3" and table["rejected"] == "1"
    assert table["doubtful"] == "2 first in the contact sheet" and table["patients"] == "2"
    assert table["train"] == "2 images of 1 patient" and table["validation"] == "1 image of 1 patient"
    assert table["sides"] == "2 unknown 1, L 2" and table["views"] == "3 CC 2, MLO 1"
    assert table["densities"] == "2 unknown 1, a 1, d 1"


def test_reasons_are_counted_by_kind_and_the_rare_ones_together():
    reasons = {10 + n: f"its mask is {n}x{n} but the image is 9x9" for n in range(5)}
    reasons |= {100 + n: f"reason {chr(97 + n)}" for n in range(14)}
    lines = summary_table(conversion(reasons), "image").splitlines()
    counted = [" ".join(line.split()) for line in lines if line.startswith("    ")]
    assert counted[:2] == ["2 dim", "5 its mask is …x… but the image is …x…"]
    assert counted[-1] == "3 other reasons, see rejected.csv" and len(counted) == 14
