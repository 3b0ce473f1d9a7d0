"""Saved models that any Keras opens: stock layers only, and the same bytes for the same weights."""

import json
import os
import zipfile
from pathlib import Path

import keras

_FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold


def stock_model(model: keras.Model) -> keras.Model:
    """A copy of `model` made of plain Keras layers, run-time kernel scales folded in.

    Layers of ours offer `stock_layer` and `stock_weights`; every other layer is taken as it is. The copy computes in
    float32 whatever policy the model was trained with.
    """

    def plain(layer: keras.layers.Layer) -> keras.layers.Layer:
        if hasattr(layer, "stock_layer"):
            return layer.stock_layer()
        return layer.__class__.from_config({**layer.get_config(), "dtype": "float32"})

    copy = keras.models.clone_model(model, clone_function=plain)
    for layer in model.layers:
        weights = layer.stock_weights() if hasattr(layer, "stock_weights") else layer.get_weights()
        copy.get_layer(layer.name).set_weights(weights)
    return copy


def save_model(model: keras.Model, path: Path) -> None:
    """Save as `.keras`, byte for byte a function of the model (Keras writes the time of day into its file).

    Written beside its final name and renamed when whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft, partial = path.with_name("draft-" + path.name), path.with_suffix(".partial")
    model.save(draft)
    with zipfile.ZipFile(draft) as source, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(source.namelist()):
            content = source.read(name)
            if name == "metadata.json":
                content = json.dumps({**json.loads(content), "date_saved": "1980-01-01@00:00:00"}).encode()
            target.writestr(zipfile.ZipInfo(name, _FIXED_DATE), content, zipfile.ZIP_DEFLATED)
    draft.unlink()
    os.replace(partial, path)
