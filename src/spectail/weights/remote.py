"""Sources that lie elsewhere: models of the Hugging Face hub, files on the web, and whatever fsspec reads.

Of each only headers are read, and the tensors that are asked for. A model of the hub is of one commit, whatever happens
to its branch meanwhile; what is in the hub's cache is read from there.

Here: which files there are, and who asks for them. Not here: HTTP (`ranges`), which of them hold weights (`folders`).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urljoin, urlsplit
from urllib.request import url2pathname

from spectail.errors import SourceError, first_line, kind_and_first_line
from spectail.weights.folders import Folder, read_file, read_folder, read_one, shards_of
from spectail.weights.parameter import Source
from spectail.weights.ranges import (
    PAUSES,
    PROXY,
    TIMEOUT,
    Remembered,
    WebAddress,
    web_address,
    web_file,
    without_secrets,
)
from spectail.weights.stored import StoredFile, local_file
from spectail.weights.untrusted import printable

_T = TypeVar("_T")

_REMOTE = re.compile(r"hub:|[a-z][a-z0-9+.-]*(::[a-z][a-z0-9+.-]*)*://", re.IGNORECASE)

_HUB = re.compile(
    r"(?:hub:|hf://)(?P<model>[\w.-]+(?:/[\w.-]+)?)"
    r"(?:@(?P<revision>refs/(?:pr|convert)/[\w.-]+|[^/@\s]+))?(?:/(?P<path>[^@]*))?",
    re.ASCII,
)

_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
_COMMIT_OF_A_HUB = re.compile(r"[\w-]{4,128}", re.ASCII)  # others than Hugging Face's count in their own way

_LOG_IN = "log in with `hf auth login` (huggingface-cli login), or set HF_TOKEN"

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
        model = _model_of(source)
        below = _read_below(_hub_folder(model), model.path, key)
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
    model = _model_of(source)
    return f"hub:{model.name}@{model.commit}" + (f"/{model.path}" if model.path else "")


def remote_stamps(source: str) -> list[list[Any]]:
    """What tells whether a source that lies elsewhere has changed.

    Args:
        source: of which `is_remote`.

    Returns:
        of each file: its name, its bytes, and what its server calls its version; of a model of the hub its commit.

    Raises:
        SourceError: it is not there, may not be read, or there is no connection.
    """
    if is_hub(source):
        model = _model_of(source)
        return [["/".join(filter(None, [model.name, model.path])), 0, model.commit]]
    web = source.lower().startswith(("http://", "https://"))
    folder, name = _web_folder(source) if web else _elsewhere(source)
    names = [name] if name else folder.names
    if name.endswith(".json"):  # an index
        names = [name, *shards_of(folder, name)]
    return [[one, file.size, str(file.stamp)] for one in names for file in (folder.file(one),)]


def hub_folder(source: str) -> tuple[Folder, str]:
    """The files of a model of the hub, or of a folder in it, and how `open_weights` takes this folder.

    Args:
        source: of which `is_hub`.

    Raises:
        SourceError: there is no such model or folder, or no connection.
    """
    model, home = _model_of(source), pinned(source)
    folder = _hub_folder(model)
    return (folder.below(model.path) if model.path else folder), home


def revisions_of(source: str, pattern: str) -> list[str]:
    """The branches and tags of a model of the hub that fit a pattern.

    Args:
        source: "hub:owner/name".
        pattern: as the shell has it, such as "step*".

    Returns:
        their names, as "hub:owner/name@name" takes them.

    Raises:
        SourceError: there is no such model, none fits, or there is no connection.
    """
    match = _HUB.fullmatch(source)
    if match is None or match["revision"] or match["path"]:
        raise SourceError(f"{printable(source)!r:.200} names no model; with revisions expected hub:owner/name alone")
    name, endpoint = match["model"], _endpoint()
    if _hub_library().constants.HF_HUB_OFFLINE:
        home = _home_in_cache(name) / "refs"
        names = [path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()]
    else:
        names = _ask(name, "", endpoint, lambda api: _refs(api.list_repo_refs(name)))
    fitting = [one for one in dict.fromkeys(names) if fnmatchcase(one, pattern)]
    if not fitting:
        some = ", ".join(map(printable, names[:8])) + (", …" if len(names) > 8 else "")
        raise SourceError(f"hub:{name} has no revision that fits {pattern!r:.80}; it has {some or 'none'}")
    return [one.replace("/", "%2F") for one in fitting]


def _refs(refs: Any) -> list[str]:
    return [one.name for one in (*refs.branches, *refs.tags)]


def _read_below(folder: Folder, path: str, key: str | None) -> Source:
    """What is meant by a path in a folder: a file or another folder; the folder itself without."""
    if not path:
        return read_folder(folder, key)
    if path in folder.names:
        above = path.rpartition("/")[0]
        return read_one(folder.below(above) if above else folder, path.rpartition("/")[2], key)
    below = folder.below(path)
    if not below.names:
        some = ", ".join(map(printable, folder.names[:8])) + (", …" if len(folder.names) > 8 else "")
        raise SourceError(f"{folder.name} has no {printable(path)!r:.200}; it has {some or 'no file'}")
    return read_folder(below, key)


def _safe(names: Sequence[str]) -> list[str]:
    """Names of files below a folder; none that leads out of it."""
    return [name for name in names if {"", ".", ".."}.isdisjoint(name.split("/")) and not re.search(r"[\\\0]", name)]


# the hub


@dataclass(frozen=True)
class _Model:
    """A model of the hub at a commit.

    Attributes:
        name: "owner/name".
        commit: that its revision has.
        path: of what is meant in it; "" for all.
        names: of its files.
        endpoint: of the hub.
        offline: whether only the cache is read.
    """

    name: str
    commit: str
    path: str
    names: tuple[str, ...]
    endpoint: str
    offline: bool

    @property
    def title(self) -> str:
        return f"{self.name}@{self.commit[:7]}"

    @property
    def shown(self) -> str:
        """As a message shows it."""
        cache = " in the cache, beside which HF_HUB_OFFLINE lets nothing be read," * self.offline
        return f"hub:{self.title}{cache}"


def is_hub(source: str) -> bool:
    """Whether what lies elsewhere is a model of the hub."""
    return source.lower().startswith(("hub:", "hf://"))


def _model_of(source: str) -> _Model:
    match = _HUB.fullmatch(source)
    path = (match["path"] or "").strip("/") if match else ""
    if match is None or (path and not _safe([path])):
        raise SourceError(f"{printable(source)!r:.200} names no model; expected hub:owner/name[@revision][/file]")
    endpoint = _endpoint()
    revision = unquote(match["revision"] or "main")
    offline = bool(_hub_library().constants.HF_HUB_OFFLINE)
    if offline:
        commit, names = _listed_in_cache(match["model"], revision)
    else:  # a commit never has other files
        listed = _listed if _COMMIT.fullmatch(revision) else _listed.__wrapped__
        commit, names = listed(match["model"], revision, endpoint)
    return _Model(match["model"], commit, path, names, endpoint, offline)


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


@lru_cache(maxsize=32)
def _listed(name: str, revision: str, endpoint: str) -> tuple[str, tuple[str, ...]]:
    """The commit of a revision, and its files."""
    commit, names = _ask(name, revision, endpoint, partial(_files, name, revision))
    if not _COMMIT_OF_A_HUB.fullmatch(commit):
        raise SourceError(f"hub:{name}: {endpoint} does not say which commit {revision!r} is; expected a hub's answer")
    return commit, tuple(sorted(_safe(names)))


def _files(name: str, revision: str, api: Any) -> tuple[str, list[str]]:
    """The commit of a revision, and its files."""
    info = api.model_info(name, revision=revision, timeout=TIMEOUT)
    commit = str(info.sha or "")
    if info.siblings is None:
        return commit, list(api.list_repo_files(name, revision=commit or revision))
    return commit, [one.rfilename for one in info.siblings]


def _ask(name: str, revision: str, endpoint: str, question: Callable[[Any], _T]) -> _T:
    """What the hub says of a model."""
    hub = _hub_library()
    shown, api = f"hub:{name}", hub.HfApi(endpoint=endpoint)
    for pause in (*PAUSES[:2], None):
        try:
            return question(api)
        except hub.errors.RevisionNotFoundError:
            raise SourceError(f"{shown} has no revision {revision!r:.80}") from None
        except hub.errors.HFValidationError as error:
            raise SourceError(f"{shown} is no name of a model: {first_line(error):.200}") from None
        except Exception as error:  # of the library that the hub's uses for HTTP, whichever it is
            response = getattr(error, "response", None)
            status = getattr(response, "status_code", None)
            if response is not None and status in (401, 403, 404, 451):
                code, message = (response.headers.get(f"x-error-{what}", "") for what in ("code", "message"))
                why = _why_refused(name, endpoint, status, code, without_secrets(printable(message))[:200])
                raise SourceError(f"{shown} {why}") from None
            if status == 407:
                raise SourceError(f"{shown}: {endpoint} cannot be asked: {PROXY}") from None
            if pause is None or (status is not None and status < 500 and status != 429):
                why = f"the server answers {status}" if status else _why_no_answer(error)
                cache = "" if status else "; with HF_HUB_OFFLINE=1 what is in the cache is read"
                raise SourceError(f"{shown}: {endpoint} cannot be asked: {why}{cache}") from None
            time.sleep(pause)
    raise AssertionError


def _why_no_answer(error: Exception) -> str:
    if "Timeout" in type(error).__name__:
        return f"no answer within {TIMEOUT:g} s"
    return without_secrets(kind_and_first_line(error))


def _why_refused(name: str, endpoint: str, status: int, code: str, message: str) -> str:
    """What is said of a model or file that a hub does not let be read, and what to do.

    Args:
        name: of the model.
        endpoint: of the hub.
        status: of its answer.
        code: what it calls the error; "" where it does not.
        message: what it says of it.

    Source: huggingface_hub, `hf_raise_for_status`.
    """
    if code == "GatedRepo":
        return f"is gated: accept its licence at {endpoint}/{name} and {_LOG_IN}"
    if "is disabled" in message:
        return f"is disabled: {endpoint} lets nobody read it"
    if "Invalid credentials" in message:
        return f"may not be read ({status}): the token is not valid, or has expired: {_LOG_IN}"
    if code == "RepoNotFound" or status in (401, 404):  # 401 of what is private, and of what is not there
        return f"is not at {endpoint}, or is private: check the name, or {_LOG_IN}"
    if "fine-grained token" in message:
        why = f"the token gives no access to gated models: allow it at {endpoint}/settings/tokens"
    else:
        why = message or f"{endpoint} does not say why: {_LOG_IN}"
    return f"may not be read ({status}): {why}"


def _listed_in_cache(name: str, revision: str) -> tuple[str, tuple[str, ...]]:
    """The same of what is in the cache, without asking anybody."""
    home = _home_in_cache(name)
    reference = home / "refs" / revision
    commit, paths = revision, list[Path]()
    try:
        if not _COMMIT.fullmatch(revision) and ".." not in revision and reference.is_file():
            commit = reference.read_text(errors="replace").strip()
        snapshot = home / "snapshots" / commit
        if _COMMIT.fullmatch(commit):
            paths = sorted(path for path in snapshot.rglob("*") if path.is_file())
    except OSError as error:
        raise SourceError(f"hub:{name}: the cache cannot be read: {error}") from None
    if not paths:
        raise SourceError(f"hub:{name} is not in the cache at {revision!r:.80}, and HF_HUB_OFFLINE forbids to ask")
    return commit, tuple(path.relative_to(snapshot).as_posix() for path in paths)


def _home_in_cache(name: str) -> Path:
    return Path(_hub_library().constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"


def _hub_folder(model: _Model) -> Folder:
    return Folder(model.shown, model.title, model.names, partial(_hub_file, model))


def _hub_file(model: _Model, name: str) -> StoredFile:
    """A file of a model: of the cache where it is there, else of the hub."""
    hub = _hub_library()
    if name not in model.names:
        raise SourceError(f"{model.shown} names {printable(name)!r:.200}, which is missing")
    cached = hub.try_to_load_from_cache(model.name, name, revision=model.commit)
    if isinstance(cached, str):
        return local_file(Path(cached))
    headers: Mapping[str, str] = hub.utils.build_hf_headers(library_name="spectail")
    url = hub.hf_hub_url(model.name, name, revision=model.commit, endpoint=model.endpoint)
    address = WebAddress(
        f"hub:{model.title}/{printable(name)}",
        url,
        headers,
        partial(_why_refused, model.name, model.endpoint),
        f"hf download {model.name} --revision {model.commit[:7]} downloads it, and it is read from the cache then",
    )
    return web_file(address)


def _hub_library() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError:
        raise SourceError("hub: needs huggingface_hub, which is not installed: pip install 'spectail[hub]'") from None
    return huggingface_hub


# the web


def _web_folder(url: str) -> tuple[Folder, str]:
    """Where a file lies, of which it is known what it is called: others there are opened by their names."""
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
    names = _safe(sorted(inside))
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
