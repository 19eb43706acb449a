"""Models of the Hugging Face hub, or of another that answers like it: which files a revision has, and what it refuses.

A model is of one commit, whatever happens to its branch meanwhile; what is in the hub's cache is read from there.
Not here: other sources that lie elsewhere (`remote`), HTTP (`http_ranges`).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from spectail.errors import SourceError, first_line, kind_and_first_line, naming_the_extra
from spectail.weights.folders import Folder
from spectail.weights.http_ranges import PAUSES, PROXY, TIMEOUT, WebAddress, web_file, without_secrets
from spectail.weights.stored import StoredFile, local_file
from spectail.weights.untrusted import printable, safe_names

_T = TypeVar("_T")

_HUB = re.compile(
    r"(?:hub:|hf://)(?P<model>[\w.-]+(?:/[\w.-]+)?)"
    r"(?:@(?P<revision>refs/(?:pr|convert)/[\w.-]+|[^/@\s]+))?(?:/(?P<path>[^@]*))?",
    re.ASCII,
)

_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
_COMMIT_OF_A_HUB = re.compile(r"[\w-]{4,128}", re.ASCII)  # others than Hugging Face's count in their own way

_LOG_IN = "log in with `hf auth login` (huggingface-cli login), or set HF_TOKEN"


@dataclass(frozen=True)
class HubModel:
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
        """Its name and the beginning of its commit."""
        return f"{self.name}@{self.commit[:7]}"

    @property
    def pinned(self) -> str:
        """As `open_weights` takes it, at this commit."""
        return f"hub:{self.name}@{self.commit}" + (f"/{self.path}" if self.path else "")

    @property
    def shown(self) -> str:
        """As a message shows it."""
        cache = " in the cache, beside which HF_HUB_OFFLINE lets nothing be read," * self.offline
        return f"hub:{self.title}{cache}"


def is_hub(source: str) -> bool:
    """Whether what lies elsewhere is a model of the hub."""
    return source.lower().startswith(("hub:", "hf://"))


def hub_model(source: str) -> HubModel:
    """The model that a source names, and which files it has.

    Args:
        source: one that `is_hub`.

    Raises:
        SourceError: there is no such model, or no connection.
    """
    match = _HUB.fullmatch(source)
    path = (match["path"] or "").strip("/") if match else ""
    if match is None or (path and not safe_names([path])):
        raise SourceError(f"{printable(source)!r:.200} names no model; expected hub:owner/name[@revision][/file]")
    endpoint = _endpoint()
    revision = unquote(match["revision"] or "main")
    offline = bool(_hub_library().constants.HF_HUB_OFFLINE)
    if offline:
        commit, names = _listed_in_cache(match["model"], revision)
    else:  # a commit never has other files
        listed = _listed if _COMMIT.fullmatch(revision) else _listed.__wrapped__
        commit, names = listed(match["model"], revision, endpoint)
    return HubModel(match["model"], commit, path, names, endpoint, offline)


def hub_folder(source: str) -> tuple[Folder, str]:
    """The files of a model of the hub, or of a folder in it, and how `open_weights` takes this folder.

    Args:
        source: one that `is_hub`.

    Raises:
        SourceError: there is no such model or folder, or no connection.
    """
    model = hub_model(source)
    folder = files_of(model)
    return (folder.below(model.path) if model.path else folder), model.pinned


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


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


@lru_cache(maxsize=32)
def _listed(name: str, revision: str, endpoint: str) -> tuple[str, tuple[str, ...]]:
    """The commit of a revision, and its files."""
    commit, names = _ask(name, revision, endpoint, partial(_files, name, revision))
    if not _COMMIT_OF_A_HUB.fullmatch(commit):
        raise SourceError(f"hub:{name}: {endpoint} does not say which commit {revision!r} is; expected a hub's answer")
    return commit, tuple(sorted(safe_names(names)))


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
    """The commit of a revision and its files, by what is in the cache, without asking the hub."""
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


def files_of(model: HubModel) -> Folder:
    """All files of a model, whatever path is meant in it."""
    return Folder(model.shown, model.title, model.names, partial(_hub_file, model))


def _hub_file(model: HubModel, name: str) -> StoredFile:
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
    with naming_the_extra("hub:"):
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils
    return huggingface_hub
