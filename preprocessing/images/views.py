"""The views and sides of mammograms: their names, codes and orientations, in one table."""

from collections.abc import Sequence
from dataclasses import dataclass

LATERALITIES = ("L", "R")


@dataclass(frozen=True)
class View:
    """One mammographic view (PS3.16 CID 4014).

    Attributes:
        code: str. SNOMED CT code.
        old_code: str. SNOMED-RT code, which older objects hold.
        meaning: str. The code's meaning.
        down: str. Where a left breast's columns run from top to bottom when it is displayed as usual, lateral side or
            axilla up (patient orientation, PS3.3 C.7.6.1.1.1).
    """

    code: str
    old_code: str
    meaning: str
    down: str


# By the words of View Position (0018,5101); only these words leave a header. A CC view runs from lateral to medial. The
# plane of an MLO is square to a beam from above and medial to below and lateral: its bottom is the foot and the medial
# side (PS3.17 A, figure A-11); SIO and ISO tilt the other way.
VIEWS = {
    "CC": View("399162004", "R-10242", "cranio-caudal", "R"),
    "MLO": View("399368009", "R-10226", "medio-lateral oblique", "FR"),
    "ML": View("399260004", "R-10224", "medio-lateral", "F"),
    "LM": View("399352003", "R-10228", "latero-medial", "F"),
    "LMO": View("399099002", "R-10230", "latero-medial oblique", "FR"),
    "SIO": View("399188001", "R-102D0", "superolateral to inferomedial oblique", "FL"),
    "ISO": View("441555000", "R-40AAA", "inferomedial to superolateral oblique", "FL"),
    "FB": View("399196006", "R-10244", "caudo-cranial (from below)", "R"),
    "XCC": View("399265009", "R-102CF", "cranio-caudal exaggerated", "R"),
    "XCCL": View("399192008", "R-1024A", "cranio-caudal exaggerated laterally", "R"),
    "XCCM": View("399101009", "R-1024B", "cranio-caudal exaggerated medially", "R"),
}
_BY_CODE = {code: name for name, view in VIEWS.items() for code in (view.code, view.old_code)}


def read_laterality(text: str | None) -> str:
    """Read a side from "L", "LEFT", "r", ...; "" where the text names none."""
    letter = (text or "").strip().upper()[:1]
    return letter if letter in LATERALITIES else ""


def read_view(text: str | None) -> str:
    """Read the name of a view, in any case; "" where the text is none of `VIEWS`."""
    name = (text or "").strip().upper()
    return name if name in VIEWS else ""


def view_of_code(code: str) -> str:
    """Return the view of a SNOMED CT or SNOMED-RT code; "" where it has none."""
    return _BY_CODE.get(code, "")


@dataclass(frozen=True)
class Turn:
    """What makes an image upright, first the one, then the other.

    Attributes:
        transposed: bool. Rows and columns are exchanged: the chest wall is above or below.
        flipped: bool. Up and down are exchanged.
    """

    transposed: bool = False
    flipped: bool = False


UPRIGHT = Turn()


def turn_of(orientation: Sequence[str], laterality: str | None) -> Turn:
    """Find what brings a breast's chest wall to the side, and its axilla or lateral side up.

    Left and right are not decided here: the pixels tell them.

    Args:
        orientation: Patient Orientation (0020,0020), where rows and columns run to (PS3.3 C.7.6.1.1.1); anything but
            two values of its letters is as if absent.
        laterality: "L" or "R"; None where unknown.
    """
    runs = [value.strip().upper() for value in orientation]
    if len(runs) != 2 or not all(run and set(run) <= set("APLRHF") for run in runs):
        return UPRIGHT
    transposed = runs[1][0] in "AP" and runs[0][0] not in "AP"
    down = runs[0] if transposed else runs[1]
    if ("F" in down) != ("H" in down):  # the letters of the height of a body decide, where there are any
        return Turn(transposed, "H" in down)
    # Of a cranio-caudal view the lateral side is up, that of the breast's own letter.
    return Turn(transposed, laterality in LATERALITIES and down[0] == laterality)
