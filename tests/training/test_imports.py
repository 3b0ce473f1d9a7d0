"""What every system builds on knows none of them."""

import ast

import pytest
import tiny

OURS = ("preprocessing", "mask_embedding_gan", "pix2pix", "feature2mass", "lesions", "generation", "evaluation")
# settings that TensorFlow reads when imported, errors and their words, and how files are written, locked and parsed
ALLOWED = {"preprocessing", "preprocessing.tensorflow_settings", "preprocessing.atomic", "preprocessing.json_file"}
ALLOWED |= {"preprocessing.lock", "preprocessing.errors", "preprocessing.counted"}
OF_COMMANDS = {"preprocessing.command_line", "preprocessing.training_data"}


@pytest.mark.parametrize("file", sorted((tiny.ROOT / "training").glob("*.py")), ids=lambda file: file.stem)
def test_training_imports_nothing_of_ours_but_settings_and_files(file):
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    allowed = ALLOWED | OF_COMMANDS if file.stem == "command_line" else ALLOWED
    assert {name for name in found if name.split(".")[0] in OURS} <= allowed
