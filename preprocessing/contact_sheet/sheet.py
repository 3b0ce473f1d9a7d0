"""A contact sheet of what a command prepared."""

from pathlib import Path

from preprocessing.contact_sheet.pages import is_written, write_pages
from preprocessing.contact_sheet.store import ThumbnailStore
from preprocessing.shards import Conversion


def write_contact_sheet(done: Conversion, store: ThumbnailStore) -> Path:
    """Write the contact sheet of a conversion, unless it is there already.

    Args:
        store: The sheet's folder and thumbnails; an image without one is shown as it lies in the dataset.

    Returns:
        The first page.

    Raises:
        DataError: A page cannot be written.
    """
    dataset, rejected = done.dataset, done.reasons
    if not is_written(store, dataset):
        numbers = [number for number in range(done.given) if number not in rejected]
        return write_pages(store, dataset, numbers, rejected, done.doubts)
    return store.folder / "index.html"
