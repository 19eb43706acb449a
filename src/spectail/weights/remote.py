"""Sources that lie elsewhere: models of the Hugging Face hub, files on the web, and whatever fsspec reads.

Of each only headers are read, and the tensors that are asked for. A model of the hub is of one commit, whatever happens
to its branch meanwhile; what is in the hub's cache is read from there.

Here: which files there are. Not here: what the hub is asked (`hub`), HTTP (`http_ranges`), which files hold weights
(`folders`).
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit
from urllib.request import url2pathname

from spectail.errors import SourceError, first_line, kind_and_first_line
from spectail.weights.folders import Folder, read_file, read_folder, read_one, shards_like, shards_of
from spectail.weights.http_ranges import (
    Remembered,
    web_address,
    web_file,
    without_secrets,
)
from spectail.weights.hub import files_of, hub_model, is_hub
from spectail.weights.parameter import Source
from spectail.weights.stored import StoredFile
from spectail.weights.untrusted import printable, safe_names

_REMOTE = re.compile(r"hub:|[a-z][a-z0-9+.-]*(::[a-z][a-z0-9+.-]*)*://", re.IGNORECASE)

_DEEPEST = 5  # folders that files of weights lie in


def is_remote(source: object) -> bool:
    """Whether a source names something elsewhere: "hub:owner/name", or an address with "://".

    >>> is_remote("hub:gpt2"), is_remote("s3://bucket/model.safetensors"), is_remote("package.module:factory")
    (True, True, False)
    """
    return isinstance(source, str) and _REMOTE.match(source) is not None and not os.path.exists(source)


def read_remote(source: str, key: str | None = None) -> Source:
    """The parameters of a source that lies elsewhere.

    Args:
        source: "hub:owner/name[@revision][/file or folder]", or an address of a file or folder.
        key: of the state dict that is meant, in a file that holds several.

    Returns:
        what it holds, unread, with the configuration that lies beside it.

    Raises:
        SourceError: it is not there, may not be read, or is not what it should be; or there is no connection.
    """
    if is_hub(source):
        model = hub_model(source)
        below = _read_below(files_of(model), model.path, key)
        return replace(below, title="/".join(filter(None, [model.title, model.path])))
    protocol = source.partition("://")[0].lower()
    if protocol == "file":
        return read_file(Path(url2pathname(source.partition("://")[2])), key)
    folder, name = _web_folder(source) if protocol in ("http", "https") else _elsewhere(source)
    return _read_below(folder, name, key)


def pinned(source: Any) -> Any:
    """The same source at the commit that it has now, where it is a model of the hub; any other as it is.

    Args:
        source: as for `open_weights`.

    Raises:
        SourceError: there is no such model, or no connection.
    """
    if not is_remote(source) or not is_hub(source):
        return source
    return hub_model(source).pinned


def remote_stamps(source: str) -> list[list[Any]]:
    """What tells whether a source that lies elsewhere has changed.

    Args:
        source: one that `is_remote`.

    Returns:
        of each file: its name, its bytes, and what its server calls its version; of a model of the hub its commit.

    Raises:
        SourceError: it is not there, may not be read, or there is no connection.
    """
    if is_hub(source):
        model = hub_model(source)
        return [["/".join(filter(None, [model.name, model.path])), 0, model.commit]]
    web = source.lower().startswith(("http://", "https://"))
    folder, name = _web_folder(source) if web else _elsewhere(source)
    names = [name] if name else folder.names
    if name.endswith(".json"):  # an index
        names = [name, *shards_of(folder, name)]
    return [[one, file.size, str(file.stamp)] for one in names for file in (folder.file(one),)]


def _read_below(folder: Folder, path: str, key: str | None) -> Source:
    """What is meant by a path in a folder: a file or another folder; without a path, the folder itself."""
    if not path:
        return read_folder(folder, key)
    above, _, name = path.rpartition("/")
    around = folder.below(above) if above else folder
    if path in folder.names or shards_like(name, around.names):
        return read_one(around, name, key)
    below = folder.below(path)
    if not below.names:
        some = ", ".join(map(printable, folder.names[:8])) + (", …" if len(folder.names) > 8 else "")
        raise SourceError(f"{folder.name} has no {printable(path)!r:.200}; it has {some or 'no file'}")
    return read_folder(below, key)


# the web


def _web_folder(url: str) -> tuple[Folder, str]:
    """The folder that a file lies in, and the file's name. The web lists no folder: its files are opened by name."""
    address = web_address(url)
    steps = PurePosixPath(unquote(urlsplit(address.url).path))
    if not steps.name or address.url.endswith("/"):
        raise SourceError(f"{address.name} names no file; expected the address of one, such as …/model.safetensors")

    @lru_cache
    def file(name: str) -> StoredFile:
        if name == steps.name:
            return web_file(address)
        return web_file(replace(web_address(urljoin(address.url, quote(name))), headers=address.headers))

    file(steps.name)  # what is wrong with it is said first
    names = [steps.name]
    with suppress(SourceError):  # most files have no configuration beside them
        file("config.json")
        names.append("config.json")
    return Folder(address.name.rpartition("/")[0], steps.parent.name, names, file), steps.name


# fsspec


def _elsewhere(source: str) -> tuple[Folder, str]:
    """What fsspec finds at an address: a folder, and the name of a file in it, or "" where all is meant."""
    shown = printable(without_secrets(source))
    try:
        import fsspec

        files, path = fsspec.core.url_to_fs(source)
        kind = files.info(path)["type"]
        home = path.rstrip("/") if kind == "directory" else path.rpartition("/")[0]
        infos = files.find(home, maxdepth=_DEEPEST if kind == "directory" else 1, detail=True)
    except FileNotFoundError:
        raise SourceError(f"{shown} is not there") from None
    except PermissionError as error:
        raise SourceError(f"{shown} may not be read: {without_secrets(first_line(error)):.200}") from None
    except Exception as error:  # of whatever library reads there; that it is missing is among what they say
        raise SourceError(f"{shown} cannot be read: {without_secrets(first_line(error)):.200}") from None
    inside = {name.removeprefix(home).lstrip("/"): info for name, info in infos.items()}
    names = safe_names(sorted(inside))
    place = shown if kind == "directory" else shown.rpartition("/")[0]
    folder = Folder(place, PurePosixPath(home).name, names, partial(_file_elsewhere, files, home, place))
    return folder, "" if kind == "directory" else path.rpartition("/")[2]


def _file_elsewhere(files: Any, home: str, place: str, name: str) -> StoredFile:
    shown, path = f"{place}/{printable(name)}", f"{home}/{name}"
    size, version = _state_elsewhere(files, path, shown)

    def read(start: int, count: int) -> bytearray:
        if _state_elsewhere(files, path, shown) != (size, version):
            raise SourceError(f"{shown} has changed since it was opened: open it again")
        try:
            values = files.cat_file(path, start=start, end=start + count)
        except Exception as error:
            raise SourceError(f"{shown} cannot be read: {without_secrets(kind_and_first_line(error))}") from None
        if len(values) != count:
            raise SourceError(f"{shown}: {len(values)} bytes came where {count} were asked for; {_COPY}")
        return bytearray(values)

    return StoredFile(shown, size, Remembered(read), (size, version))


_COPY = "copy it here, and name the file"


def _state_elsewhere(files: Any, path: str, shown: str) -> tuple[int, str]:
    """The size of a file, and what tells that it is another."""
    try:
        files.invalidate_cache()
        info = files.info(path)
        size, version = info.get("size"), str(files.ukey(path))
    except FileNotFoundError:
        raise SourceError(f"{shown} is missing") from None
    except Exception as error:
        raise SourceError(f"{shown} cannot be read: {without_secrets(kind_and_first_line(error))}") from None
    if type(size) is not int or size < 0:
        raise SourceError(f"{shown} does not say how large it is; {_COPY}")
    return size, version
