"""One command with the smallest presets; as a script, for a training that starts its process again."""

import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main(name: str, *arguments: str) -> None:
    """Run the command; `--preset quick` trains the networks of the tests."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    command = importlib.import_module(f"train_scripts.{name}").main
    if name.startswith("train_"):
        _use_tiny_preset(name)
    command.main(list(arguments), prog_name=f"{name}.py")


def _use_tiny_preset(name: str) -> None:
    """Replace the preset when the command's own imports have silenced TensorFlow."""
    from preprocessing.tensorflow_settings import import_tensorflow_quietly

    import_tensorflow_quietly()
    tests = {"train_mask_embed": "tiny", "train_pix2pix": "tiny_pix2pix", "train_feature2mass": "tiny_masses"}
    systems = {
        "train_mask_embed": "mask_embedding_gan",
        "train_pix2pix": "pix2pix",
        "train_feature2mass": "feature2mass",
    }
    presets = importlib.import_module(f"{systems[name]}.presets").PRESETS
    presets["quick"] = importlib.import_module(tests[name]).preset()


if __name__ == "__main__":
    main(*sys.argv[1:])
