"""A folder at a URL that fsspec knows: objects that are written whole, and never changed."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailrace.batch._hidden import finish, hidden_file, remove_dead_files
from tailrace.errors import (
    BatchInputError,
    BatchWriteError,
    InvalidRequestError,
    MissingRequirementsError,
    TailraceError,
    one_line,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Store", "fetched", "is_url"]


def is_url(path: str | Path) -> bool:
    """Return whether `path` is a URL, which fsspec reads, and no path of this system."""
    return isinstance(path, str) and "://" in path


class Store:
    """The folder at `url`.

    Raises MissingRequirementsError where fsspec, or what it needs for the URL, is not installed.
    Every other failure is a BatchWriteError that names the object.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._files, self._root = _opened(url)
        self._is_local = type(self._files).__name__ == "LocalFileSystem"
        if self._is_local:  # stores have no folders to make
            self._do("", lambda: Path(self._root).mkdir(parents=True, exist_ok=True))
            remove_dead_files(Path(self._root))

    def names(self) -> list[str]:
        """Return the names of the objects in the folder, sorted."""

        def listed() -> list[str]:
            self._files.invalidate_cache()
            try:
                found = self._files.ls(self._root, detail=False)
            except FileNotFoundError:  # a store has no empty folders
                return []
            return sorted(str(each).rstrip("/").rpartition("/")[2] for each in found)

        names: list[str] = self._do("", listed)
        return names

    def read(self, name: str) -> bytes:
        """Return what the object of that name holds."""
        data: bytes = self._do(name, lambda: self._files.cat_file(self._path(name)))
        return data

    def create(self, name: str, data: bytes) -> bool:
        """Write a new object, whole or not at all; return False where there is one already."""

        def write() -> bool:
            try:
                if self._is_local:
                    _link(Path(self._path(name)), data)
                else:
                    self._files.pipe_file(self._path(name), data, mode="create")
            except FileExistsError:
                return False
            return True

        is_new: bool = self._do(name, write)
        return is_new

    def put(self, name: str, data: bytes) -> None:
        """Write an object, in the place of one of that name."""

        def write() -> None:
            if self._is_local:
                with _written(Path(self._path(name)), data) as new:
                    new.replace(self._path(name))
            else:
                self._files.pipe_file(self._path(name), data)

        self._do(name, write)

    def delete(self, name: str) -> None:
        """Take an object away, if it is there."""

        def remove() -> None:
            with suppress(FileNotFoundError):
                self._files.rm_file(self._path(name))

        self._do(name, remove)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _do(self, name: str, work: Callable[[], Any]) -> Any:
        """Return what `work` does; of what the packages of stores raise little is known."""
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - each has errors of its own
            problem = str(error) or type(error).__name__
        at = f"{self.url}/{name}" if name else self.url
        raise BatchWriteError(f"{one_line(at)}: {problem}")


def _link(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; raises FileExistsError where there is one."""
    with _written(path, data) as new:
        os.link(new, path)


@contextmanager
def _written(path: Path, data: bytes) -> Iterator[Path]:
    """Write a file beside `path`, and yield its path."""
    with hidden_file(path) as (new, file):
        file.write(data)
        finish(file)
        yield new


def fetched(url: str, folder: Path) -> Path:
    """Copy the object at `url` into `folder`, and return the copy's path.

    Raises BatchInputError where it cannot be read, MissingRequirementsError as `Store` does.
    """
    files, path = _opened(url)
    copy = folder / (path.rstrip("/").rpartition("/")[2] or "input")
    try:
        files.get_file(path, str(copy))
    except FileNotFoundError:
        problem = "there is none"
    except Exception as error:  # noqa: BLE001 - each store has errors of its own
        problem = str(error) or type(error).__name__
    else:
        return copy
    raise BatchInputError(f"{one_line(url)} cannot be read: {problem}")


def _opened(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path there."""
    try:
        files, path = import_module("fsspec.core").url_to_fs(url)
    except ImportError as error:
        needs = "fsspec" if (error.name or "").startswith("fsspec") else str(error)
        failure: TailraceError = MissingRequirementsError(
            f"a URL needs fsspec and the package for its scheme (s3fs, gcsfs, adlfs): {needs}"
        )
    except Exception as error:  # noqa: BLE001 - each store has errors of its own
        failure = InvalidRequestError(f"{one_line(url)} cannot be used: {error}")
    else:
        return files, str(path).rstrip("/")
    raise failure
