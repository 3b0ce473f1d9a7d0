"""The arrays of an HDF5 file, all of which must lie in the file itself."""

from collections.abc import Iterator

import h5py


def stored_arrays(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """List the arrays of a file, (name, array), sorted.

    Raises:
        ValueError: One lies in another file, or groups contain each other: HDF5's own walks never end there.
    """
    yield from _walk(file, "", set())


def _walk(group: h5py.Group, above: str, seen: set[int]) -> Iterator[tuple[str, h5py.Dataset]]:
    place = h5py.h5o.get_info(group.id).addr
    if place in seen:
        raise ValueError(f"{above}: a group with two names")
    seen.add(place)
    for name in sorted(group):
        item = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
        if isinstance(item, h5py.Group):
            yield from _walk(item, f"{above}{name}/", seen)
        elif isinstance(item, h5py.Dataset) and not (item.is_virtual or item.external):
            yield f"{above}{name}", item
        else:
            raise ValueError(f"{above}{name} lies outside the file")
