"""What lies in a package, as a tree of folders and files."""

from __future__ import annotations

from collections.abc import Iterable

from .glob_group import GlobGroup, GlobPattern

__all__ = ["Directory"]


class Directory:
    """A folder or a file of a package; `PackageImporter.file_structure` makes them. `str()` of it is a picture of the tree.

    Args:
        name: without the folders in which it lies.
        is_dir: whether it is a folder.
    """

    def __init__(self, name: str, is_dir: bool):
        self.name = name
        self.is_dir = is_dir
        self.children: dict[str, Directory] = {}

    def _add(self, path: str) -> None:
        *folders, name = path.split("/")
        place = self
        for folder in folders:
            place = place.children.setdefault(folder, Directory(folder, True))
        place.children[name] = Directory(name, False)

    def has_file(self, filename: str) -> bool:
        """Whether there is a file or a folder at this path, whose parts are separated by `/`."""
        place: Directory | None = self
        for part in filename.split("/"):
            place = None if place is None else place.children.get(part)
        return place is not None

    def __str__(self) -> str:
        return "\n".join([f"─── {self.name}", *(f"    {line}" for line in self._lines()), ""])

    def _lines(self) -> Iterable[str]:
        ordered = sorted(self.children.values(), key=lambda child: (not child.is_dir, child.name))
        for child in ordered:
            last = child is ordered[-1]
            yield ("└── " if last else "├── ") + child.name
            yield from (("    " if last else "│   ") + line for line in child._lines())


def _create_directory_from_file_list(
    filename: str, file_list: Iterable[str], include: GlobPattern = "**", exclude: GlobPattern = ()
) -> Directory:
    """The tree of those files whose paths match."""
    wanted = GlobGroup(include, exclude=exclude, separator="/")
    top = Directory(filename, True)
    for path in file_list:
        if wanted.matches(path):
            top._add(path)
    return top
