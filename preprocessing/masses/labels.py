"""The shape and margin of a mass, from the words of the radiologist."""

from preprocessing.images.image import UnusableImage

# In the order of Lee et al. 2018, section 3.2. DDSM and CBIS-DDSM use these words, and for shapes some that are no
# shape of a mass.
CLASSES = {
    "shape": ("round", "oval", "lobulated", "irregular"),
    "margin": ("circumscribed", "microlobulated", "obscured", "ill-defined", "spiculated"),
}
OTHER_WORDS = {
    "shape": "architectural_distortion asymmetric_breast_tissue focal_asymmetric_density lymph_node tubular".split(),
    "margin": [],
}
_BLANKS = ("", "n/a", "na", "nan", "none")


def read_label(text: str, field: str, policy: str = "single") -> int | None:
    """Return the index of a label's class in `CLASSES[field]`, or None where the label is blank.

    Args:
        text: Words joined by "-" in any order and case, as in DDSM: `IRREGULAR`, `OBSCURED-ILL_DEFINED`.
        field: "shape" or "margin".
        policy: "single" takes a label of exactly one word, which must be a class. "first" takes the first word that is
            a class. Defaults to "single".

    Raises:
        UnusableImage: A word is unknown or the policy finds no class.
    """
    # The hyphen of "ill-defined" joins one word, all others join two.
    text = text.strip().lower().replace("ill-defined", "ill_defined").replace("ill defined", "ill_defined")
    if text in _BLANKS:
        return None
    names = [name.replace("-", "_") for name in CLASSES[field]]
    words = [word.strip().replace(" ", "_") for word in text.split("-")]
    for word in words:
        if word not in names and word not in OTHER_WORDS[field]:
            raise UnusableImage(f"unknown {field} word: none of {', '.join(CLASSES[field])}")
    if policy == "single" and len(words) > 1:
        raise UnusableImage(f"several {field} words")
    chosen = next((word for word in words if word in names), None)
    if chosen is None:
        raise UnusableImage(f"{field} of no class: {words[0].replace('_', ' ')}")
    return names.index(chosen)
