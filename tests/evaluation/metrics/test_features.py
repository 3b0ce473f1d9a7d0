"""Features that need no network, and those of a network that the user brings."""

import numpy as np
import pytest

from evaluation.image_set import EvaluationError
from evaluation.metrics.features import keras_extractor, radiomic

RNG = np.random.default_rng(0)
INSIDE = np.ones((2, 32, 32), bool)


def test_there_are_31_and_all_are_finite():
    images = np.stack([RNG.random((32, 32)), np.full((32, 32), 0.5)])
    features = radiomic(images, INSIDE)
    assert features.shape == (2, 31) and np.isfinite(features).all()


def test_an_image_does_not_see_the_others():
    images = RNG.random((2, 32, 32))
    assert (radiomic(images, INSIDE)[1] == radiomic(images[1:], INSIDE[1:])[0]).all()


def test_intensity_and_co_occurrence_do_not_see_what_lies_outside_the_mask():
    image, mask = RNG.random((1, 32, 32)), np.zeros((1, 32, 32), bool)
    mask[:, :20, :20] = mask[:, 25, :20] = True
    other = np.where(mask, image, 0.9)
    assert radiomic(image, mask)[0, :17] == pytest.approx(radiomic(other, mask)[0, :17], rel=1e-6)


def test_co_occurrence_of_stripes():
    """Columns 0, 1, 0, 1 …: across, neighbours always differ by 31 greys; down, never."""
    image = np.tile(np.array([0.0, 0.999]), (1, 32, 16))
    contrast = radiomic(image, INSIDE[:1])[0, 9]
    assert contrast == pytest.approx(31**2 * 3 / 4)  # 0°, 45° and 135° of four directions


def test_finer_detail_has_more_energy_in_the_finest_wavelet():
    coarse = np.kron(RNG.random((8, 8)), np.ones((4, 4)))[None]
    fine = RNG.random((1, 32, 32))
    assert (radiomic(fine, INSIDE[:1])[0, 19:22] > radiomic(coarse, INSIDE[:1])[0, 19:22] + 3).all()


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.layers.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()])
    path = tmp_path_factory.mktemp("model") / "features.keras"
    model.save(path)
    return path


def test_a_network_of_the_user_gets_its_size_and_channels(network):
    image = np.tile(np.linspace(0, 1, 16), (2, 16, 1))
    assert keras_extractor(network)(image, np.ones(image.shape, bool)) == pytest.approx(np.full((2, 3), 0.5), abs=1e-6)


def test_a_file_that_is_not_there_or_no_model_is_named(tmp_path):
    with pytest.raises(EvaluationError, match="absent.keras: no such file"):
        keras_extractor(tmp_path / "absent.keras")
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(EvaluationError, match="text.keras: is not a Keras model"):
        keras_extractor(tmp_path / "text.keras")


def test_a_network_of_keras_applications_sees_pixels_as_in_its_training(monkeypatch):
    """MobileNetV2 was trained on [-1, 1]; what stands in for it here gives back what it is shown."""
    keras = pytest.importorskip("keras")
    from keras.src.applications import mobilenet_v2

    def stand_in(include_top, pooling, weights):
        assert not include_top and pooling == "avg" and weights == "imagenet"
        return keras.Sequential([keras.layers.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D()])

    stand_in.__module__ = mobilenet_v2.__name__
    monkeypatch.setattr(keras.applications, "MobileNetV2", stand_in)
    images = np.stack([np.full((64, 32), grey, np.float32) for grey in (0, 0.5, 1)])
    features = keras_extractor("MobileNetV2")(images, images > -1)
    np.testing.assert_allclose(features, np.array([[-1.0], [0.0], [1.0]]) * np.ones((1, 3)), atol=1e-5)


def test_weights_that_cannot_be_had_are_one_clear_line(monkeypatch):
    keras = pytest.importorskip("keras")

    def offline(**options):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.applications, "VGG16", offline)
    with pytest.raises(EvaluationError, match="--extractor VGG16: its weights cannot be downloaded; connect to the"):
        keras_extractor("VGG16")


def test_a_name_that_is_no_network_lists_those_there_are():
    pytest.importorskip("keras")
    with pytest.raises(EvaluationError, match="--extractor Inception: no such file, nor .* InceptionV3, .*VGG16"):
        keras_extractor("Inception")


def test_a_network_of_the_user_without_a_size_sees_images_as_they_are(tmp_path):
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.layers.Input((None, None, 1)), keras.layers.Flatten()])
    model.save(tmp_path / "flat.keras")
    images = RNG.random((2, 8, 4)).astype(np.float32)
    features = keras_extractor(tmp_path / "flat.keras")(images, images > -1)
    np.testing.assert_allclose(features, images.reshape(2, -1), atol=1e-6)
