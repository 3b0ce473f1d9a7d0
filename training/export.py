"""Saved models that any Keras opens: stock layers only, and the same bytes for the same weights."""

import io
import itertools
import json
import os
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import keras
import numpy as np

from preprocessing.atomic import whole_file
from preprocessing.errors import UserError
from training.stored_arrays import stored_arrays

_LARGEST = 2**32  # bytes of a model, inflated
_NEWER_OPTIONS = ("quantization_config",)  # of layers, since Keras 3.13
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold


def stock_model(model: keras.Model) -> keras.Model:
    """Return a copy of `model` made of plain Keras layers and operations, run-time kernel scales folded in.

    Layers of ours offer `stock_layer`, and `stock_weights` where these are not their own weights; every other layer is
    taken as it is. The copy computes in float32 whatever policy the model was trained with.
    """

    def plain(layer: keras.layers.Layer | keras.Operation) -> keras.layers.Layer | keras.Operation:
        if not isinstance(layer, keras.layers.Layer):  # whose name would count the operations of this process
            return layer.__class__.from_config({**layer.get_config(), "name": f"operation_{next(number)}"})
        if hasattr(layer, "stock_layer"):
            return layer.stock_layer()
        return layer.__class__.from_config({**layer.get_config(), "dtype": "float32"})

    number = itertools.count()
    copy = keras.models.clone_model(model, clone_function=plain)
    for layer in model.layers:
        copy.get_layer(layer.name).set_weights(getattr(layer, "stock_weights", layer.get_weights)())
    return copy


def save_model(model: keras.Model, path: Path) -> None:
    """Save as `.keras`, byte for byte a function of the model (Keras writes the time of day into its file).

    Written next to its final name and renamed when whole.
    """
    with whole_file(path) as partial:
        draft = partial.with_name(".draft" + partial.name)  # a name that `remove_left_over` knows
        try:
            model.save(draft)
            _repack(draft, partial)
        finally:
            draft.unlink(missing_ok=True)


def _repack(draft: Path, final: Path) -> None:
    """Copy a saved model without the time of day and without options that are off and that Keras 3.9 does not know."""
    with zipfile.ZipFile(draft) as source, zipfile.ZipFile(final, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(source.namelist()):
            content = source.read(name)
            if name == "metadata.json":
                content = json.dumps({**json.loads(content), "date_saved": "1980-01-01@00:00:00"}).encode()
            elif name == "config.json":
                content = json.dumps(_without_newer_options(json.loads(content))).encode()
            target.writestr(zipfile.ZipInfo(name, _FIXED_DATE), content, zipfile.ZIP_DEFLATED)


def _without_newer_options(config: object) -> object:
    if isinstance(config, dict):
        kept = {name: value for name, value in config.items() if value is not None or name not in _NEWER_OPTIONS}
        return {name: _without_newer_options(value) for name, value in kept.items()}
    return [_without_newer_options(item) for item in config] if isinstance(config, list) else config


# ----------------------------------------------------------------------------------------- opening


class ModelError(UserError):
    """A file cannot be opened as a Keras model; the message names it and says why."""


def open_model(path: str | os.PathLike) -> keras.Model:
    """Open a `.keras` file of stock layers, checked before Keras reads it.

    Nothing but classes of Keras is built, nothing is read that lies outside the file, and weights are finite.

    Raises:
        ModelError: the file is damaged, is no such model, or holds NaN or infinite weights.
    """
    try:
        _check_archive(Path(path))
        with warnings.catch_warnings():
            # Keras leaves random weights in layers that the file has none for, and says so in a warning
            warnings.filterwarnings("error", message="Skipping nested container")
            model = keras.models.load_model(path, compile=False)
    except ModelError:
        raise
    except Exception as error:  # a damaged file makes Keras raise anything
        raise ModelError(f"{path}: is not a Keras model") from error
    if not all(np.isfinite(np.asarray(weight)).all() for weight in model.weights):
        raise ModelError(f"{path}: holds weights that are NaN or infinite")
    return model


def model_from_text(config: str, weights: Sequence[np.ndarray]) -> keras.Model:
    """Build a model of stock layers from its configuration, and set its weights.

    Args:
        config: JSON, from `model.to_json()` of a model from `stock_model`.
        weights: of all layers, in their order.

    Raises:
        ModelError: it names classes that are not of Keras.
        ValueError: the weights do not fit.
    """
    _check_classes(json.loads(config), "the model")
    model = keras.models.model_from_json(config)
    model.set_weights(weights)
    return model


@contextmanager
def computing() -> Iterator[None]:
    """Turn whatever a model raises whose layers do not fit together into a `ModelError`."""
    try:
        yield
    except Exception as error:  # of many types, with pages of text
        if type(error).__name__ == "ResourceExhaustedError":
            raise MemoryError from error
        raise ModelError("the model cannot be computed: its layers do not fit together, or are damaged") from error


def _check_archive(path: Path) -> None:
    if not path.is_file():
        raise ModelError(f"{path}: is not a file")
    with zipfile.ZipFile(path) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        if sum(sizes.values()) > _LARGEST or any(name.startswith("/") or ".." in name for name in sizes):
            raise ModelError(f"{path}: is not a Keras model")
        _check_classes(json.loads(archive.read("config.json")), path)
        with h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r") as weights:
            try:
                list(stored_arrays(weights))
            except ValueError as error:
                raise ModelError(f"{path}: holds weights that lie in another file, or in a circle") from error


def _check_classes(config: object, path: object) -> None:
    """Check that a configuration names no class but those of Keras: Keras would import whatever it names."""
    if isinstance(config, dict):
        module = config.get("module")
        named = "class_name" in config and module not in (None, "builtins")
        if named and not (isinstance(module, str) and module.split(".")[0] == "keras"):
            raise ModelError(f"{path}: holds classes from outside Keras")
        config = list(config.values())
    if isinstance(config, list):
        for item in config:
            _check_classes(item, path)
