"""The pages that show what became of images: all of them, the doubtful ones first, and nothing about a patient."""

import base64
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_breast import drawn_film

from preprocessing.contact_sheet import pages
from preprocessing.contact_sheet.pages import write_contact_sheet
from preprocessing.contact_sheet.store import ThumbnailStore
from preprocessing.contact_sheet.thumbnail import HEIGHT, thumbnail
from preprocessing.images.outline import Outline
from preprocessing.images.rules import Rules
from preprocessing.images.stored_image import StoredImage
from preprocessing.mammograms.convert import convert_mammograms
from preprocessing.mammograms.options import MammogramOptions
from preprocessing.phantoms.mammogram import mammogram_phantom
from preprocessing.shards import DataError
from preprocessing.shards.convert import Conversion


def decoded(figure: str) -> np.ndarray:
    source = re.search(r"base64,([^\"]+)", figure)[1]
    return cv2.imdecode(np.frombuffer(base64.b64decode(source), np.uint8), cv2.IMREAD_UNCHANGED)


def corners(figure: str) -> np.ndarray:
    numbers = re.findall(r"[\d.]+", re.search(r"<path d=\"([^\"]+)", figure)[1])
    return np.array(numbers, float).reshape(-1, 2)


@pytest.fixture
def films(tmp_path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(4):
        image, _, _ = mammogram_phantom(number, 256, 128)
        cv2.imwrite(str(folder / f"film{number}.png"), np.uint8(np.round(image * 255)))
    (folder / "film1b.png").write_bytes(b"\x89PNG\r\n\x1a\n<script>")
    return folder


def prepared(films: Path, output: Path, drawn: bool = True) -> tuple[Conversion, ThumbnailStore]:
    store = ThumbnailStore(output)
    return convert_mammograms([films], output, workers=1, thumbnails=store if drawn else None), store


# ------------------------------------------------------------------------------------- thumbnails


def test_a_thumbnail_shows_the_whole_image_and_the_outline_of_its_mask():
    film, breast = drawn_film(1024, 640)
    figure = thumbnail(film, breast)
    image = decoded(figure)
    assert image.shape == (HEIGHT, 160)
    expected = cv2.resize(film, (160, HEIGHT), interpolation=cv2.INTER_AREA)
    assert np.abs(image / 255 - expected).mean() < 0.02
    x, y = corners(figure).T
    rows, columns = np.nonzero(cv2.resize(breast.astype(np.uint8), (160, HEIGHT), interpolation=cv2.INTER_AREA))
    assert abs(x.max() - columns.max()) < 2 and abs(y.min() - rows.min()) < 2 and abs(y.max() - rows.max()) < 2


def test_the_outline_of_a_large_film_draws_the_same_as_its_mask():
    film, breast = drawn_film(1024, 640)
    stored = StoredImage(np.uint16(film * 65535), np.linspace(0, 1, 65536, dtype=np.float32))
    by_mask, by_outline = thumbnail(film, breast), thumbnail(stored, Outline.of(breast))
    np.testing.assert_allclose(decoded(by_mask).astype(int), decoded(by_outline), atol=10)
    sampled = Outline.of(breast).sampled((HEIGHT, 160))
    assert (sampled != cv2.resize(breast.astype(np.uint8), (160, HEIGHT)).astype(bool)).mean() < 0.01
    assert np.abs(corners(by_mask).max(axis=0) - corners(by_outline).max(axis=0)).max() < 2


def test_a_mirrored_film_is_drawn_mirrored():
    film, breast = drawn_film(512, 320)
    image = decoded(thumbnail(film[:, ::-1], breast[:, ::-1]))
    np.testing.assert_allclose(image[:, ::-1].astype(int), decoded(thumbnail(film, breast)), atol=30)


def test_an_image_without_a_known_mask_has_an_empty_outline():
    assert '<path d=""/>' in thumbnail(np.eye(64, dtype=np.float32), np.zeros((64, 64), bool))


# ------------------------------------------------------------------------------------------ pages


def test_every_image_is_shown_and_every_rejected_one_has_its_reason(films, tmp_path):
    done, store = prepared(films, tmp_path / "data")
    page = write_contact_sheet(done, store).read_text()
    assert page.count("<figure") == 4 and re.findall(r"<figcaption>(\d+):", page) == list("0134")
    rejected = (store.folder / "rejected.html").read_text()
    assert "<td>1</td><td>PNG cannot be decoded: damaged or cut short</td><td><small>2</small>" in rejected
    for subject in done.dataset.field("subject"):
        assert subject in page


def test_pages_of_films_that_were_prepared_as_synthetic_warn_as_others(films, tmp_path):
    store, options = ThumbnailStore(tmp_path / "data"), MammogramOptions(rules=Rules(accept=("synthetic",)))
    done = convert_mammograms([films], tmp_path / "data", options, workers=1, thumbnails=store)
    assert done.dataset.meta["synthetic"]
    assert "These are images of real patients." in write_contact_sheet(done, store).read_text()


def test_doubtful_images_come_first_with_their_doubt(films, tmp_path):
    done, store = prepared(films, tmp_path / "data")
    page = write_contact_sheet(replace(done, doubts={3: "its <skin> is dim"}), store).read_text()
    assert re.findall(r"<figcaption>(\d+):", page) == list("3014")
    assert page.count('class="doubtful"') == 1 and "its &lt;skin&gt; is dim" in page


def test_many_images_are_spread_over_pages(films, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "PER_PAGE", 3)
    done, store = prepared(films, tmp_path / "data")
    first = write_contact_sheet(done, store).read_text()
    second = (store.folder / "page-0002.html").read_text()
    assert first.count("<figure") == 3 and second.count("<figure") == 1
    assert 'href="page-0002.html"' in first and 'href="index.html"' in second


def test_pages_warn_of_patients_and_hold_nothing_from_elsewhere(films, tmp_path):
    done, store = prepared(films, tmp_path / "data")
    write_contact_sheet(done, store)
    for path in store.folder.glob("*.html"):
        text = path.read_text()
        assert "images of real patients" in text
        assert not re.search(r"https?:|<script|src=", text)
        assert all(link.startswith(("data:", "index.html", "page-", "rejected.html")) for link in hrefs(text))
        assert "film0" not in text and str(tmp_path) not in text
        assert path.stat().st_mode & 0o077 == 0


def hrefs(text: str) -> list[str]:
    return re.findall(r'href="([^"]+)"', text)


def test_a_sheet_lies_next_to_the_dataset_not_in_it(films, tmp_path):
    done, store = prepared(films, tmp_path / "data")
    write_contact_sheet(done, store)
    assert store.folder == tmp_path / "data.contact-sheet"
    assert {path.suffix for path in (tmp_path / "data").iterdir()} == {".h5", ".json", ".jsonl", ".csv"}


def test_thumbnails_show_what_the_mask_cuts_off_and_without_them_the_dataset_is_shown(films, tmp_path):
    pictures = {}
    for drawn in (True, False):
        done, store = prepared(films, tmp_path / f"data{drawn}", drawn)
        pictures[drawn] = decoded(write_contact_sheet(done, store).read_text())
    assert pictures[True].shape == pictures[False].shape == (256, 128)
    black = pictures[False] < 3
    assert (pictures[True][black] > 0).sum() >= (pictures[False][black] > 0).sum()


def test_thumbnails_of_another_number_of_images_are_not_used(films, tmp_path):
    done, store = prepared(films, tmp_path / "data")
    store.keep(0, [{"thumbnail": "<svg>of another</svg>"}])
    assert "of another" not in write_contact_sheet(done, ThumbnailStore(tmp_path / "data")).read_text()


def test_a_whole_sheet_is_left_and_that_of_another_dataset_is_not(films, tmp_path):
    done, store = prepared(films, tmp_path / "data")
    page = write_contact_sheet(done, store)
    page.write_text(page.read_text() + "<!-- left -->")
    assert "<!-- left -->" in write_contact_sheet(done, store).read_text()
    page.write_text(page.read_text().replace(done.dataset.fingerprint, "0" * 64))
    assert "<!-- left -->" not in write_contact_sheet(done, store).read_text()


def test_only_what_a_sheet_consists_of_is_cleared(films, tmp_path):
    done, store = prepared(films, tmp_path / "data")
    write_contact_sheet(done, store)
    (store.folder / "rejected.html").write_text("mine")
    (store.folder / "notes.txt").write_text("mine")
    store.clear()
    assert sorted(path.name for path in store.folder.iterdir()) == ["notes.txt", "rejected.html"]


def test_a_folder_behind_a_link_is_not_cleared(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.html").write_text(pages.MARK)
    (tmp_path / "data.contact-sheet").symlink_to(tmp_path / "other")
    ThumbnailStore(tmp_path / "data").clear()
    assert (tmp_path / "other" / "index.html").exists()


def test_a_sheet_that_cannot_be_written_is_told_in_one_line(films, tmp_path):
    done, store = prepared(films, tmp_path / "data", drawn=False)
    store.folder.write_text("a file in its place")
    with pytest.raises(DataError, match="the contact sheet cannot be written .*--no-contact-sheet"):
        write_contact_sheet(done, store)
