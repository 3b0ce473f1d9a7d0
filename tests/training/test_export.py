"""Saved models: stock layers, the same numbers, the same bytes."""

import io
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest

from preprocessing.atomic import is_left_over
from training import export
from training.export import ModelError, computing, open_model, save_model, stock_model
from training.layers import EqualizedConv2D, EqualizedDense, LowPass, PixelNorm


def network(dtype: str = "float32") -> keras.Model:
    inputs = keras.Input((8, 4, 2), name="image")
    x = EqualizedConv2D(3, 4, strides=2, padding="same", name="convolution", dtype=dtype)(inputs)
    x = keras.layers.LeakyReLU(0.2, name="activation", dtype=dtype)(LowPass(name="low_pass", dtype=dtype)(x))
    x = keras.layers.Flatten(name="flat", dtype=dtype)(PixelNorm(name="norm", dtype=dtype)(x))
    return keras.Model(inputs, EqualizedDense(2, name="dense", dtype=dtype)(x), name="network")


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    return network()


X = np.random.default_rng(0).standard_normal((5, 8, 4, 2)).astype(np.float32)


def test_a_stock_copy_computes_the_same(model):
    np.testing.assert_allclose(stock_model(model)(X), model(X), rtol=1e-5, atol=1e-5)


def test_an_operation_keeps_its_effect_and_gets_a_name_of_its_model_alone():
    inputs = keras.Input((4,), name="numbers")
    copies = [stock_model(keras.Model(inputs, keras.ops.cos(inputs), name="wave")) for _ in range(2)]
    assert copies[0].to_json() == copies[1].to_json()
    np.testing.assert_allclose(copies[0](np.zeros((1, 4))), 1)


def test_a_stock_copy_is_made_of_keras_layers_alone(model):
    modules = {type(layer).__module__.split(".")[0] for layer in stock_model(model).layers}
    assert modules == {"keras"}


def test_a_stock_copy_leaves_its_original_alone(model):
    before = [weight.copy() for weight in model.get_weights()]
    stock_model(model)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_stock_copy_of_a_bfloat16_model_computes_in_float32():
    copy = stock_model(network("mixed_bfloat16"))
    assert {layer.compute_dtype for layer in copy.layers} == {"float32"}


def test_a_file_loads_with_safe_mode_and_computes_the_same(tmp_path, model):
    save_model(stock_model(model), tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras", safe_mode=True)
    np.testing.assert_allclose(loaded(X), model(X), rtol=1e-5, atol=1e-5)


def test_equal_weights_give_equal_bytes(tmp_path, model):
    paths = [tmp_path / "a" / "network.keras", tmp_path / "b" / "network.keras"]
    for path in paths:
        save_model(stock_model(model), path)
        keras.backend.clear_session()
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_other_weights_give_other_bytes(tmp_path, model):
    save_model(stock_model(model), tmp_path / "a.keras")
    other = stock_model(model)
    other.set_weights([weight + 1 for weight in other.get_weights()])
    save_model(other, tmp_path / "b.keras")
    assert (tmp_path / "a.keras").read_bytes() != (tmp_path / "b.keras").read_bytes()


def test_the_time_of_day_is_not_in_the_file(tmp_path, model):
    save_model(stock_model(model), tmp_path / "network.keras")
    with zipfile.ZipFile(tmp_path / "network.keras") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert json.loads(archive.read("metadata.json"))["date_saved"].startswith("1980")


def test_nothing_is_left_beside_the_file(tmp_path, model):
    save_model(stock_model(model), tmp_path / "new" / "network.keras")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["network.keras"]


def test_what_a_kill_leaves_beside_the_file_is_known(tmp_path, model, monkeypatch):
    written = []
    monkeypatch.setattr(export, "_repack", lambda draft, final: written.extend(tmp_path.iterdir()) or final.touch())
    save_model(stock_model(model), tmp_path / "network.keras")
    assert written and all(map(is_left_over, written))


def archive(path, change):
    """Rewrite the files in a `.keras` file; `change` gets and returns a content by name."""
    with zipfile.ZipFile(path) as source:
        contents = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w") as target:
        for name, content in change(contents).items():
            target.writestr(name, content)


def foreign(contents):
    config = contents["config.json"].replace(b'"module": "keras.layers"', b'"module": "os"', 1)
    return {**contents, "config.json": config}


def without_weights(contents):
    return {name: content for name, content in contents.items() if not name.endswith(".h5")}


def cut(contents):
    return {name: content[: len(content) // 2] for name, content in contents.items()}


def looped(contents):
    with h5py.File(io.BytesIO(contents["model.weights.h5"]), "r+") as file:
        file["layers/again"] = file["/"]
        file.flush()
        return {**contents, "model.weights.h5": file.id.get_file_image()}


def without_bias(contents):
    """Keras would leave a random one."""
    with h5py.File(io.BytesIO(contents["model.weights.h5"]), "r+") as file:
        del file["layers/dense/vars/1"]
        file.flush()
        return {**contents, "model.weights.h5": file.id.get_file_image()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_bias, "is not a Keras model"),
        (foreign, "classes from outside Keras"),
        (without_weights, "is not a Keras model"),
        (cut, "is not a Keras model"),
        (looped, "or in a circle"),
    ],
)
def test_a_damaged_or_foreign_model_is_refused_by_name(tmp_path, change, said):
    save_model(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), tmp_path / "a.keras")
    assert open_model(tmp_path / "a.keras").count_params() == 8
    archive(tmp_path / "a.keras", change)
    with pytest.raises(ModelError, match=f"a.keras: .*{said}"):
        open_model(tmp_path / "a.keras")


def test_a_model_that_cannot_be_computed_is_refused_in_one_line():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ModelError, match=r"^the model cannot be computed.*damaged$"), computing():
        model.predict_on_batch(np.zeros((1, 4)))


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"text" * 99])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "a.keras").write_bytes(content)
    with pytest.raises(ModelError, match="a.keras: is not a Keras model"):
        open_model(tmp_path / "a.keras")


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_model_with_weights_that_are_not_finite_is_refused(tmp_path, value):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.set_weights([np.full((3, 2), value), np.zeros(2)])
    save_model(model, tmp_path / "a.keras")
    with pytest.raises(ModelError, match="NaN or infinite"):
        open_model(tmp_path / "a.keras")


@pytest.mark.parametrize("layer", ["Dense", "EinsumDense", "nested"])
def test_options_that_older_releases_do_not_know_are_left_out_where_they_are_off(tmp_path, layer):
    """Keras 3.9 refuses a layer with `quantization_config`, which Keras 3.13 and later always write."""
    dense = keras.layers.EinsumDense("ab,bc->ac", 1) if layer == "EinsumDense" else keras.layers.Dense(1)
    inner = keras.Sequential([dense]) if layer == "nested" else dense
    save_model(keras.Sequential([keras.Input((2,)), inner]), tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert "quantization_config" not in archive.read("config.json").decode()
