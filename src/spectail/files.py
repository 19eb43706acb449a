"""Files that appear whole or not at all, and readers that say in a sentence what is wrong with a file.

Not here: what is in a file: recordings (`recording/netcdf.py`), weights (`weights/formats/`), pictures
(`plots/picture_files.py`).
"""

from __future__ import annotations

import glob
import os
import re
import stat
import tempfile
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

PART = ".part"
"""Ending of a file that is being written; one that nobody writes any more was cut off."""


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file under another name, and give it its own only when it is complete and on the disk.

    A process that is killed, or a disk that is full, leaves what was there before.

    Args:
        path: where to; its folder is made if need be.
        write: called with the path to write to.

    Returns:
        the path.

    Raises:
        OSError: the folder cannot be made or written to, or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix=PART, dir=path.parent)
        os.close(handle)
        part = Path(name)
        write(part)
        flush(part)
        part.chmod(0o644)
        part.replace(path)
        flush(path.parent)
    except BaseException as error:
        if part is not None:
            part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = str(path)  # a full disk names none, others the part
        raise
    return path


_MOST_BYTES = 16_000_000  # of a file in TOML


def read_toml(path: Path, expected: str) -> tuple[str, dict[str, Any]]:
    """The text of a file in TOML, and what it says; a mark of UTF-8 at its beginning is passed over.

    Args:
        path: of the file.
        expected: what it is to hold, such as "a grid in TOML".

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no plain file, too large, no text, or no TOML; one sentence says which, and on what line.
    """
    try:
        about = path.stat()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist; expected {expected}") from None
    except OSError as error:  # a loop of links, a folder that is closed
        raise ValueError(f"{path} cannot be read: {error.strerror}; expected {expected}") from None
    if not stat.S_ISREG(about.st_mode):
        kind = "a folder" if stat.S_ISDIR(about.st_mode) else "no plain file"
        raise ValueError(f"{path} is {kind}; expected {expected}")
    if about.st_size > _MOST_BYTES:
        most = f"{_MOST_BYTES / 1e6:.0f} MB"
        raise ValueError(f"{path} has {about.st_size / 1e6:.0f} MB; expected {expected}, of at most {most}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text in UTF-8; expected {expected}") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}; expected {expected}") from None
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.fullmatch(r"(.*) \(at line (\d+), column \d+\)", str(error), re.S)
        what = (f", line {match[2]}: ", match[1]) if match else (" is not TOML: ", str(error))
        raise ValueError(f"{path}{what[0]}{what[1][0].lower()}{what[1][1:]}") from None
    except RecursionError:
        raise ValueError(f"{path} has tables within tables without end; expected plain values") from None


def check_writable(path: Path) -> None:
    """Try whether a file can be written, before the work whose result it is to hold.

    Args:
        path: of the file; its folder is made if need be.

    Raises:
        OSError: it is a folder, or its folder cannot be made or written to.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected the path of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix=PART, dir=path.parent)
    except OSError as error:
        raise type(error)(f"{path} cannot be written: {error.strerror or error}") from None
    os.close(handle)
    os.unlink(name)


OF_FILES = frozenset({".nc", ".csv", ".json", ".txt", ".xlsx", ".parquet", ".html", ".png", ".pdf", ".svg"})
"""Endings that only names of files have."""


def check_folder(path: Path) -> None:
    """See that a folder for results is not called as a file is, unless it is there.

    Args:
        path: of the folder.

    Raises:
        NotADirectoryError: it has the name of a file, and there is no such folder.
    """
    if path.suffix.lower() in OF_FILES and not path.is_dir():
        raise NotADirectoryError(
            f"{path} is called as a file is; expected a folder, in which files get their own names"
        )


def read_strangers(path: Path, most: int) -> bytes:
    """The bytes of a file in a folder that somebody else may have filled.

    Args:
        path: of the file.
        most: bytes that such a file has at most.

    Raises:
        OSError: it is no plain file (a pipe would never end), a link leads from it out of its folder, it is larger, or
            it cannot be read; one sentence says so.
    """
    check_strangers(path)
    try:
        size = path.stat().st_size
        if size <= most:
            return path.read_bytes()
    except OSError as error:
        raise OSError(f"{path} cannot be read: {error.strerror}") from None
    raise OSError(f"{path} has {size:,} bytes; expected at most {most:,}")


def check_strangers(path: Path) -> None:
    """See that a file in a folder that somebody else may have filled lies there itself.

    Args:
        path: of the file.

    Raises:
        OSError: it is no plain file, or a link leads from it out of its folder, or nowhere.
    """
    try:
        leads = path.resolve()
    except (OSError, RuntimeError):  # links in a circle
        raise OSError(f"{path} is a link that leads nowhere") from None
    if not leads.is_relative_to(path.parent.resolve()):
        raise OSError(f"{path} is a link that leads out of its folder")
    if not leads.is_file():
        raise OSError(f"{path} is not a file")


def clear_parts(path: Path) -> None:
    """Remove what is left of writing a file that was cut off; only for who knows that nobody else writes it."""
    for part in path.parent.glob(f".{glob.escape(path.name)}-{'?' * 8}{PART}"):
        with suppress(OSError):
            part.unlink()


def write_content(path: Path, content: str | bytes) -> Path:
    """Write text, in UTF-8, or bytes, as `write_whole` does."""
    return write_whole(path, lambda part: part.write_bytes(content.encode() if isinstance(content, str) else content))


def flush(path: Path) -> None:
    """Hand a file, or a folder's list of names, to the disk.

    Raises:
        OSError: the disk is full, or broken.
    """
    try:
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)  # Windows flushes what may be written only
    except PermissionError:
        if path.is_file():
            raise
        return  # Windows opens no folder
    try:
        os.fsync(handle)
    except OSError:
        if path.is_file():
            raise
        # some file systems cannot sync a folder
    finally:
        os.close(handle)
