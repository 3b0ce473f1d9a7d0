"""The page that shows images with their lesions."""

from html.parser import HTMLParser

import pytest

from lesions.page import write_page

SQUARE = [10.0, 20.0, 40.0, 20.0, 40.0, 60.0, 10.0, 60.0]
LESION = {"image_id": 1, "bbox": [10, 20, 30, 40], "shape": "irregular", "margin": "<b>", "mass": "item 1"}
CONTENT = {
    "images": [
        {
            "id": number + 1,
            "file_name": f"{number:06d}.png",
            "width": 256,
            "height": 512,
            "laterality": "L",
            "view": "CC",
        }
        for number in range(2)
    ],
    "annotations": [
        LESION | {"segmentation": [SQUARE]},
        LESION | {"segmentation": [[*SQUARE, 5.0, 40.0]], "mass": ""},
    ],
}


class Paths(HTMLParser):
    """Pictures and shapes of a page, in order."""

    def __init__(self, page: str):
        super().__init__()
        self.pictures, self.shapes = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "img":
            self.pictures.append(attributes["src"])
        if tag == "path":
            self.shapes.append(attributes["d"])


def test_every_image_is_shown_with_its_boxes_and_with_outlines_that_are_no_boxes(tmp_path):
    found = Paths(write_page(tmp_path, CONTENT, synthetic=True).read_text())
    assert found.pictures == ["images/000000.png", "images/000001.png"]
    box = "M10 20h30v40h-30z"
    assert found.shapes == [box, box, "M10,20 40,20 40,60 10,60 5,40z"]


@pytest.mark.parametrize(
    "synthetic, said", [(True, "Every image on these pages is synthetic"), (False, "real patients")]
)
def test_the_page_says_whether_patients_are_on_it(tmp_path, synthetic, said):
    assert said in write_page(tmp_path, CONTENT, synthetic).read_text()


def test_shape_and_margin_have_the_colour_of_the_box(tmp_path):
    page = write_page(tmp_path, CONTENT, synthetic=True).read_text()
    assert page.count('<span style="color: #60ff60">') == page.count('<span style="color: #ffa040">') == 1


def test_words_of_the_data_are_no_markup(tmp_path):
    page = write_page(tmp_path, CONTENT, synthetic=True).read_text()
    assert "&lt;b&gt;" in page and "<b>" not in page


def test_a_lesion_of_an_earlier_call_was_there_before(tmp_path):
    page = write_page(tmp_path, CONTENT, synthetic=True).read_text()
    assert "1 inserted lesion (green), 1 there before (orange)" in page
    assert page.count("stroke: #60ff60") == 1 and page.count("stroke: #ffa040") == 2  # the latter with its outline
