"""Sources elsewhere: only what is needed is read, of one commit, and whatever goes wrong is one sentence."""

import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import torch
from safetensors.torch import save, save_file

from spectail.analysis.fingerprint import difference, stamps_of
from spectail.analysis.model import analyze
from spectail.analysis.series import analyze_series
from spectail.cli import main
from spectail.errors import MissingPackageError, SourceError, StoreError
from spectail.weights import http_ranges, hub, remote
from spectail.weights.opening import open_weights

huggingface_hub = pytest.importorskip("huggingface_hub")
pytest.importorskip("huggingface_hub.constants")

FIRST, SECOND = "a" * 40, "b" * 40  # commits
TOKEN = "hf_secretsecretsecret"


def state(count=20, size=64):
    generator = torch.Generator().manual_seed(0)
    return {f"layers.{at}.weight": torch.randn(size, size, generator=generator) for at in range(count)}


class Server(ThreadingHTTPServer):
    """A hub, its store of large files, and a plain web server, with faults that a test asks for."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.store = f"http://localhost:{self.server_port}"  # another host: no token may reach it
        self.files = {}  # path on the server → bytes
        self.branch = {"main": FIRST}
        self.commits = {}  # commit → names and bytes
        self.bytes, self.asked, self.tokens = 0, [], []
        self.fault = lambda answer, path: False  # answers itself and says so, or lets the server answer
        self.large = True  # the hub leads to the store
        self.signature = 1
        self.etag = "v1"

    def handle_error(self, request, client_address):
        pass  # a client that has seen enough

    def commit(self, sha, **files):
        self.commits[sha] = files


class Answer(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server, parts = self.server, urlsplit(self.path)
        path = unquote(parts.path)
        server.asked.append((self.headers["Host"].split(":")[0], path, self.headers["Range"]))
        server.tokens.append((self.headers["Host"].split(":")[0], self.headers["Authorization"]))
        if server.fault(self, path):
            return
        if match := re.fullmatch(r"/api/models/own/model/revision/(.+)", path):
            commit = server.branch.get(match[1], match[1])
            if commit not in server.commits:
                return self.say(404, {"X-Error-Code": "RevisionNotFound"})
            names = [{"rfilename": name} for name in server.commits[commit]]
            body = json.dumps({"id": "own/model", "sha": commit, "siblings": names}).encode()
            return self.say(200, {"Content-Type": "application/json"}, body)
        if path.startswith("/api/models/"):
            return self.say(404, {"X-Error-Code": "RepoNotFound"})
        if match := re.fullmatch(r"/own/model/resolve/(\w+)/(.+)", path):
            if server.large and match[2].endswith("s"):  # safetensors
                signed = f"{server.store}/store/{match[1]}/{match[2]}?signature={server.signature}"
                return self.say(302, {"Location": signed, "X-Linked-ETag": f'"{match[1]}"'})
            return self.ranges(server.commits[match[1]].get(match[2]))
        if match := re.fullmatch(r"/store/(\w+)/(.+)", path):
            if parts.query != f"signature={server.signature}":
                return self.say(403)
            return self.ranges(server.commits[match[1]][match[2]])
        return self.ranges(server.files.get(path))

    def ranges(self, content):
        if content is None:
            return self.say(404)
        first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
        if first >= len(content):
            return self.say(416, {"Content-Range": f"bytes */{len(content)}"})
        body = content[first : last + 1]
        where = f"bytes {first}-{first + len(body) - 1}/{len(content)}"
        self.server.bytes += len(body)
        return self.say(206, {"Content-Range": where, "ETag": self.server.etag}, body)

    def say(self, status, headers=(), body=b"", promised=None):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if promised is None else promised))
        self.end_headers()
        self.wfile.write(body)
        return True


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setattr(http_ranges, "PAUSES", (0.01, 0.01))
    monkeypatch.setattr(hub, "PAUSES", (0.01, 0.01))
    monkeypatch.setattr(http_ranges, "TIMEOUT", 2.0)
    monkeypatch.setattr(hub, "TIMEOUT", 2.0)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with Server() as one:
        monkeypatch.setenv("HF_ENDPOINT", one.url)
        one.commit(FIRST, **{"model.safetensors": save(state()), "config.json": b'{"model_type": "mine"}'})
        hub._listed.cache_clear()
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def header_of(content):
    return 8 + int.from_bytes(content[:8], "little")


def sentence(caught):
    text = str(caught.value)
    assert "\n" not in text
    assert TOKEN not in text
    return text


# what is read


def test_of_a_model_of_the_hub_only_headers_and_what_was_asked_for_is_read(server):
    weights = open_weights("hub:own/model")
    assert weights.title == f"own/model@{FIRST[:7]}"
    assert len(weights.matrices) == 20
    (matrix,) = weights.select("layers.7.weight").matrices
    assert torch.equal(matrix.load()[0], state()["layers.7.weight"])
    content, config = server.commits[FIRST].values()
    needed = 64 * 64 * 4 + header_of(content) + len(config)
    assert needed <= server.bytes <= needed + 0.01 * 64 * 64 * 4


def test_all_of_it_is_each_byte_once(server):
    for matrix, values in open_weights("hub:own/model").each():
        assert torch.equal(values[0], state()[matrix.name])
    assert server.bytes == sum(map(len, server.commits[FIRST].values()))


def test_the_token_is_sent_to_the_hub_and_to_nobody_else(server):
    open_weights("hub:own/model").matrices[0].load()
    hosts = {host: {token for of, token in server.tokens if of == host} for host in ("127.0.0.1", "localhost")}
    assert hosts == {"127.0.0.1": {f"Bearer {TOKEN}"}, "localhost": {None}}


def test_a_signed_address_is_asked_for_once_and_again_when_it_has_expired(server):
    weights = open_weights("hub:own/model")
    weights.matrices[0].load()
    resolved = f"/own/model/resolve/{FIRST}/model.safetensors"
    assert [path for _, path, _ in server.asked].count(resolved) == 1
    server.signature = 2
    assert torch.equal(weights.matrices[1].load()[0], state()["layers.1.weight"])
    assert [path for _, path, _ in server.asked].count(resolved) == 2


@pytest.mark.parametrize(
    ("named", "title"),
    [
        (f"@{FIRST}", ""),
        ("@main/model.safetensors", "/model.safetensors"),
        ("@refs/pr/1", ""),
        ("/model.safetensors.index.json", "/model.safetensors.index.json"),
        ("@v1.0/unet", "/unet"),
    ],
)
def test_a_revision_a_file_and_a_folder_can_be_named(server, named, title):
    one, shards = save(state()), list(state().items())
    places = {name: f"model-{at // 10 + 1:05}-of-00002.safetensors" for at, (name, _) in enumerate(shards)}
    files = {
        **({"model.safetensors": one} if "index" not in named else {}),
        "unet/diffusion_pytorch_model.safetensors": one,
        "model.safetensors.index.json": json.dumps({"weight_map": places}).encode(),
        "model-00001-of-00002.safetensors": save(dict(shards[:10])),
        "model-00002-of-00002.safetensors": save(dict(shards[10:])),
    }
    if "index" not in named:
        del files["model.safetensors.index.json"]
    server.branch |= {"refs/pr/1": FIRST, "v1.0": FIRST}
    server.commit(FIRST, **files)
    weights = open_weights(f"hub:own/model{named}")
    assert weights.title == f"own/model@{FIRST[:7]}{title}"
    assert {matrix.name: True for matrix, values in weights.each() if torch.equal(values[0], state()[matrix.name])}
    assert len(weights.matrices) == 20


def test_a_branch_that_moves_does_not_move_what_is_open(server):
    server.commit(SECOND, **{"model.safetensors": save({"other.weight": torch.zeros(4, 4)})})
    weights = open_weights("hub:own/model")
    server.branch["main"] = SECOND
    assert torch.equal(weights.matrices[3].load()[0], state()["layers.3.weight"])
    assert [matrix.name for matrix in open_weights("hub:own/model").matrices] == ["other.weight"]


def put_into_cache(cache, name, content):
    home = Path(cache) / "models--own--model"
    path = home / "snapshots" / FIRST / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    (home / "refs").mkdir(exist_ok=True)
    (home / "refs" / "main").write_text(FIRST)


def test_what_is_in_the_cache_is_read_from_there(server, monkeypatch):
    for name, content in server.commits[FIRST].items():
        put_into_cache(huggingface_hub.constants.HF_HUB_CACHE, name, content)
    assert len(open_weights("hub:own/model").matrices) == 20
    assert server.bytes == 0
    asked = len(server.asked)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    weights = open_weights("hub:own/model")
    assert torch.equal(weights.matrices[0].load()[0], state()["layers.0.weight"])
    assert (weights.title, len(server.asked)) == (f"own/model@{FIRST[:7]}", asked)
    with pytest.raises(SourceError, match="not in the cache"):
        open_weights("hub:own/another")


def test_the_configuration_beside_the_weights_is_read(server):
    assert remote.read_remote("hub:own/model").config == {"model_type": "mine"}
    server.files |= {"/x/model.safetensors": save(state()), "/x/config.json": b'{"a": 1}'}
    assert remote.read_remote(f"{server.url}/x/model.safetensors").config == {"a": 1}


def test_a_file_on_the_web_is_read_by_ranges(server):
    server.files["/x/a b.safetensors"] = save(state())
    weights = open_weights(f"{server.url}/x/a%20b.safetensors?signature=secret")
    assert torch.equal(weights.select("layers.19.weight").matrices[0].load()[0], state()["layers.19.weight"])
    assert server.bytes == header_of(save(state())) + 64 * 64 * 4
    assert weights.title == "a%20b.safetensors"


def test_shards_on_the_web_are_read_by_their_index(server):
    server.files["/x/model.safetensors.index.json"] = json.dumps({"weight_map": {"w": "y/one.safetensors"}}).encode()
    server.files["/x/y/one.safetensors"] = save({"w": torch.eye(8)})
    (matrix,) = open_weights(f"{server.url}/x/model.safetensors.index.json").matrices
    assert torch.equal(matrix.load()[0], torch.eye(8))
    source = f"{server.url}/x/model.safetensors.index.json"
    before = stamps_of(source)
    server.files["/x/y/one.safetensors"] += b"more"
    assert "one.safetensors has changed" in difference({"files": [before]}, {"files": [stamps_of(source)]})


def test_a_pickle_is_read_by_ranges_too(server, tmp_path):
    torch.save(state(20, 256), tmp_path / "model.pt")
    server.files["/model.pt"] = content = (tmp_path / "model.pt").read_bytes()
    (matrix,) = open_weights(f"{server.url}/model.pt").select("layers.11.weight").matrices
    assert torch.equal(matrix.load()[0], state(20, 256)["layers.11.weight"])
    assert server.bytes < 256 * 256 * 4 + 0.01 * len(content)


@pytest.mark.parametrize("named", ["", "/model.safetensors"])
def test_whatever_fsspec_reads_is_a_source(named):
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    files.pipe_file("/here/model.safetensors", save(state()))
    files.pipe_file("/here/config.json", b"{}")
    source = f"memory://here{named}"
    weights = open_weights(source)
    assert torch.equal(weights.matrices[2].load()[0], state()["layers.2.weight"])
    before = stamps_of(source)
    files.pipe_file("/here/model.safetensors", save(state(19)))
    assert "model.safetensors has changed" in difference({"files": [before]}, {"files": [stamps_of(source)]})
    with pytest.raises(SourceError, match="has changed since it was opened"):
        weights.matrices[0].load()


def test_an_address_of_a_file_here_is_that_file(tmp_path):
    save_file(state(), tmp_path / "a b.safetensors")
    assert open_weights((tmp_path / "a b.safetensors").as_uri()).title == "a b.safetensors"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("memory://nowhere/x.pt", "memory://nowhere/x.pt is not there"),
        ("nosuchprotocol://x", "cannot be read: Protocol not known"),
        ("hub:a/b/../../c", "expected hub:owner/name"),
        ("hub:", "expected hub:owner/name"),
        ("hub:../x", "no name of a model"),
        ("http://[bad/x.pt", "is no address"),
        ("http://host:port/x.pt", "is no address"),
        ("https:///x.pt", "cannot be read"),
        ("https://example.org/folder/", "names no file"),
    ],
)
def test_what_names_nothing_is_said_in_a_sentence(server, source, said):
    with pytest.raises(SourceError, match=said) as caught:
        open_weights(source)
    sentence(caught)


# what goes wrong


def test_a_model_or_revision_that_is_not_there(server):
    with pytest.raises(SourceError, match=r"hub:own/nothing is not at http.*check the name, or log in") as caught:
        open_weights("hub:own/nothing")
    sentence(caught)
    with pytest.raises(SourceError, match="has no revision 'v9'"):
        open_weights("hub:own/model@v9")
    with pytest.raises(SourceError, match=r"has no 'x\.pt'; it has config\.json, model\.safetensors"):
        open_weights("hub:own/model/x.pt")


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_model_says_where_its_licence_is_accepted(server, status):
    server.fault = lambda answer, path: "resolve" in path and answer.say(status, {"X-Error-Code": "GatedRepo"})
    with pytest.raises(SourceError, match=r"accept its licence at .*/own/model and log in") as caught:
        open_weights("hub:own/model")
    sentence(caught)
    server.fault = lambda answer, path: answer.say(status, {"X-Error-Code": "GatedRepo"})
    with pytest.raises(SourceError, match=r"gated: accept its licence at .*/own/model"):
        open_weights("hub:own/model")


REFUSALS = {  # of the hub: status, X-Error-Code, X-Error-Message, and what is said
    "not there, without a login": (401, "RepoNotFound", "Invalid username or password.", r"is not at http\S+, or is"),
    "not there": (404, "RepoNotFound", "Repository not found", r"is not at http\S+, or is private: check the name"),
    "gated": (401, "GatedRepo", "Access to model own/model is restricted.", r"is gated: accept its licence at"),
    "not on the list": (403, "GatedRepo", "You are not in the authorized list.", r"is gated: accept its licence at"),
    "disabled": (403, None, "Access to this resource is disabled.", r"is disabled: http\S+ lets nobody read it"),
    "an old token": (401, None, "Invalid credentials in Authorization header", r"\(401\): the token is not valid"),
    "a token of few rights": (
        403,
        None,
        "Please enable access to public gated repositories in your fine-grained token settings.",
        r"may not be read \(403\): the token gives no access to gated models: allow it at http\S+/settings/tokens",
    ),
    "another reason": (403, None, "Storage of this organisation is locked", r"\(403\): Storage of this org"),
    "by law": (451, None, "Unavailable for legal reasons", r"may not be read \(451\): Unavailable for legal reasons"),
    "no reason": (403, None, None, r"may not be read \(403\): http\S+ does not say why: log in"),
    "a secret in the reason": (403, None, "no hf_otherothersecret \x1b[2J", r"may not be read \(403\): no … \\x1b\[2J"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("why", "place"),
    [
        (why, place)
        for why in REFUSALS
        for place in ("/api/", "/resolve/")
        if (why, place) != ("not there", "/resolve/")
    ],
)
def test_what_the_hub_refuses_is_said_with_its_own_reason_and_what_to_do(server, why, place):
    status, code, message, said = REFUSALS[why]
    headers = {name: value for name, value in (("X-Error-Code", code), ("X-Error-Message", message)) if value}
    server.fault = lambda answer, path: place in path and answer.say(status, headers)
    with pytest.raises(SourceError, match=said) as caught:
        open_weights("hub:own/model")
    assert sentence(caught).startswith("hub:own/model")
    assert ("licence" in sentence(caught)) == (code == "GatedRepo")
    assert len([path for _, path, _ in server.asked if place in path]) == 1  # nobody changes his mind


def test_a_hub_that_does_not_answer(server, monkeypatch):
    monkeypatch.setattr(hub, "TIMEOUT", 0.1)
    waiting = threading.Event()
    server.fault = lambda answer, path: waiting.wait(5)
    with pytest.raises(SourceError, match=r"cannot be asked: no answer within 0\.1 s; with HF_HUB_OFFLINE=1"):
        open_weights("hub:own/model")
    waiting.set()


def test_a_model_is_read_by_a_proxy_and_one_that_wants_a_login_is_named(server, monkeypatch):
    server.large = False
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server.url)  # it is asked for whole addresses, and answers as the hub
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    huggingface_hub.utils.close_session()
    try:
        assert len(open_weights("hub:own/model").matrices) == 20
        server.fault = lambda answer, path: answer.say(407)
        with pytest.raises(SourceError, match=r"hub:own/model: .* cannot be asked: the proxy wants a login"):
            open_weights("hub:own/model")
        with pytest.raises(SourceError, match=r"cannot be read \(407\): the proxy wants a login"):
            open_weights("http://elsewhere.invalid/x.safetensors")
    finally:
        huggingface_hub.utils.close_session()


def test_without_a_network_what_is_missing_in_the_cache_is_said_to_be(server, monkeypatch):
    put_into_cache(huggingface_hub.constants.HF_HUB_CACHE, "config.json", b"{}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SourceError, match=r"own/model@aaaaaaa in the cache, .*HF_HUB_OFFLINE.* no file of weights"):
        open_weights("hub:own/model")
    index = json.dumps({"weight_map": {"w": "model-00001-of-00002.safetensors"}}).encode()
    put_into_cache(huggingface_hub.constants.HF_HUB_CACHE, "model.safetensors.index.json", index)
    with pytest.raises(
        SourceError, match=r"HF_HUB_OFFLINE.* names 'model-00001-of-00002\.safetensors', which is missing"
    ):
        open_weights("hub:own/model")
    with pytest.raises(SourceError, match=r"is not in the cache at 'v2'"):
        open_weights("hub:own/model@v2")


def test_no_network(server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    with pytest.raises(SourceError, match=r"hub:own/model: http://127.0.0.1:9 cannot be asked: .*HF_HUB_OFFLINE=1"):
        open_weights("hub:own/model")
    with pytest.raises(SourceError, match=r"x\.safetensors cannot be read: Connection refused") as caught:
        open_weights("http://me:password@127.0.0.1:9/x.safetensors?signature=9876")
    assert not re.search(r"password|9876", sentence(caught))


def whole(answer, path):
    """The whole file, whatever range was asked for; how much of it the client took is not known here."""
    content = b"\0" * 2**24
    answer.send_response(200)
    answer.send_header("Content-Length", str(len(content)))
    answer.end_headers()
    for at in range(0, len(content), 2**14):
        answer.wfile.write(content[at : at + 2**14])
        answer.server.bytes += 2**14
    return True


def test_a_server_that_ignores_ranges_is_noticed_before_all_of_it_came(server):
    server.fault = lambda answer, path: path.endswith(".safetensors") and whole(answer, path)
    with pytest.raises(SourceError, match=r"server ignores ranges: download it \(curl"):
        open_weights(f"{server.url}/x.safetensors")
    assert server.bytes < 2**23
    server.large = False
    with pytest.raises(SourceError, match=r"ignores ranges: hf download own/model --revision aaaaaaa downloads it"):
        open_weights("hub:own/model")


def test_json_is_taken_whole_where_there_are_no_ranges_of_it(server):
    content = json.dumps({"long": "x" * 1000, "a": 1}).encode()
    server.fault = lambda answer, path: path.endswith("config.json") and answer.say(200, {}, content)
    assert remote.read_remote("hub:own/model").config["a"] == 1


def cut(times, promised=100_000):
    """Ends an answer half-way, so many times."""
    left = [times]

    def fault(answer, path):
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", answer.headers["Range"] or "")
        if "/store/" not in path or asked is None or int(asked[2]) - int(asked[1]) < 5000 or not left[0]:
            return False
        left[0] -= 1
        first, last = int(asked[1]), int(asked[2])
        content = next(iter(answer.server.commits[FIRST].values()))
        answer.send_response(206)
        answer.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        answer.send_header("Content-Length", str(last + 1 - first))
        answer.end_headers()
        answer.wfile.write(content[first : first + 1000])
        answer.server.bytes += 1000
        answer.close_connection = True
        return True

    return fault


def test_a_connection_that_is_cut_is_taken_up_where_it_was(server):
    matrix = open_weights("hub:own/model").matrices[5]
    before = server.bytes
    server.fault = cut(2)
    assert torch.equal(matrix.load()[0], state()["layers.5.weight"])
    assert server.bytes - before == 64 * 64 * 4


def test_one_that_is_always_cut_is_a_row_with_a_note_and_the_others_are_measured(server, tmp_path):
    content = server.commits[FIRST]["model.safetensors"]
    at = content.index(state()["layers.5.weight"].numpy().tobytes())

    def fault(answer, path):
        wanted = (answer.headers["Range"] or "").startswith(f"bytes={at}-")
        return wanted and answer.say(206, {"Content-Range": f"bytes {at}-{at + 16383}/{len(content)}"}, b"", 16384)

    server.fault = fault
    out = tmp_path / "out"
    analysis = analyze("hub:own/model", layers="layers.[4-6].weight", nulls=False, out=out)
    notes = dict(zip(analysis.frame["name"], analysis.frame["note"], strict=True))
    assert all("not measured" not in notes[f"layers.{at}.weight"] for at in (4, 6))
    assert "cannot be read: the connection was cut" in notes["layers.5.weight"]
    server.fault = lambda answer, path: False
    again = analyze("hub:own/model", layers="layers.[4-6].weight", nulls=False, out=out)
    assert not again.frame["note"].str.contains("not measured").any()


def test_a_busy_server_is_asked_again_and_one_that_stays_busy_is_named(server):
    left = [2]

    def busy(answer, path):
        left[0] -= 1
        return left[0] >= 0 and answer.say(503, {"Retry-After": "0"})

    server.fault = busy
    assert len(open_weights("hub:own/model").matrices) == 20
    server.fault = lambda answer, path: "resolve" in path and answer.say(429)
    with pytest.raises(SourceError, match="cannot be read: the server answers 429"):
        open_weights("hub:own/model")
    server.fault = lambda answer, path: answer.say(500)
    with pytest.raises(SourceError, match="cannot be asked: the server answers 500"):
        open_weights("hub:own/model")


def test_a_server_that_does_not_answer(server, monkeypatch):
    monkeypatch.setattr(http_ranges, "TIMEOUT", 0.1)
    waiting = threading.Event()
    server.fault = lambda answer, path: "/x." in path and waiting.wait(5)
    with pytest.raises(SourceError, match=r"x\.safetensors cannot be read: no answer within 0\.1 s"):
        open_weights(f"{server.url}/x.safetensors")
    waiting.set()


@pytest.mark.parametrize("what", ["etag", "size"])
def test_a_file_that_changes_under_the_reader(server, what):
    server.files["/x.safetensors"] = save(state())
    source = f"{server.url}/x.safetensors"
    weights, before = open_weights(source), stamps_of(source)
    if what == "etag":
        server.etag = "v2"
    else:
        server.files["/x.safetensors"] = save(state(21))
    with pytest.raises(SourceError, match=r"x\.safetensors has changed since it was opened"):
        weights.matrices[0].load()
    assert "x.safetensors has changed" in difference({"files": [before]}, {"files": [stamps_of(source)]})


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("bytes 100-611/100000", "asked for bytes 0-511 and gives 100-611"),
        ("bytes 0-99999/100000", "asked for bytes 0-511 and gives 0-99999"),
        ("bytes 0-511/*", "says 'bytes 0-511/\\*' of which bytes it gives"),
        ("words", "says 'words' of which bytes it gives"),
        (None, "does not say which bytes it gives"),
    ],
)
def test_a_range_that_was_not_asked_for(server, said, sentence):
    server.fault = lambda answer, path: answer.say(206, {"Content-Range": said} if said else {}, b"x" * 512)
    with pytest.raises(SourceError, match=sentence):
        open_weights(f"{server.url}/x.safetensors")


def test_a_redirect_leads_only_to_the_web_and_not_in_a_circle(server):
    server.fault = lambda answer, path: answer.say(302, {"Location": "file:///etc/passwd"})
    with pytest.raises(SourceError, match="leads to 'file', not the web"):
        open_weights(f"{server.url}/x.safetensors")
    server.fault = lambda answer, path: answer.say(302, {"Location": "http://[bad/"})
    with pytest.raises(SourceError, match="cannot be read"):
        open_weights(f"{server.url}/x.safetensors")
    server.fault = lambda answer, path: answer.say(302, {"Location": path})
    with pytest.raises(SourceError, match="leads in a circle"):
        open_weights(f"{server.url}/x.safetensors")


def test_an_empty_file_and_a_missing_one(server):
    server.files["/x.safetensors"] = b""
    with pytest.raises(SourceError, match="0 bytes, fewer than the length of a header"):
        open_weights(f"{server.url}/x.safetensors")
    with pytest.raises(SourceError, match=r"y\.safetensors is not there: the server answers 404"):
        open_weights(f"{server.url}/y.safetensors")


def test_a_page_instead_of_a_file_is_told(server):
    server.files["/x.safetensors"] = b"<!DOCTYPE html><html>" + b" " * 4000
    with pytest.raises(SourceError, match="a page of a web site"):
        open_weights(f"{server.url}/x.safetensors")


def test_names_that_lead_out_of_the_model_are_not_followed(server):
    server.commits[FIRST] |= {"../../secret.safetensors": b"", "/etc/x.safetensors": b"", "a\\b.safetensors": b""}
    assert len(open_weights("hub:own/model").matrices) == 20
    index = json.dumps({"weight_map": {"w": "../../x.safetensors"}}).encode()
    server.commit(FIRST, **{"model.safetensors.index.json": index})
    hub._listed.cache_clear()
    with pytest.raises(SourceError, match="outside its folder"):
        open_weights("hub:own/model")


def test_without_the_library_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'spectail\[hub\]'"):
        open_weights("hub:own/model")


# analyses


def test_an_analysis_goes_on_at_the_same_commit_and_notices_another(server, tmp_path):
    first = analyze("hub:own/model", layers="layers.[0-2].*", nulls=False, out=tmp_path)
    before = server.bytes
    again = analyze("hub:own/model", layers="layers.[0-2].*", nulls=False, out=tmp_path)
    assert server.bytes == before  # it is whole, and read
    assert first.frame.equals(again.frame)
    server.commit(SECOND, **server.commits[FIRST])
    server.branch["main"] = SECOND
    with pytest.raises(StoreError, match=f"own/model has changed: it was at {FIRST}, and is at {SECOND}"):
        analyze("hub:own/model", layers="layers.[0-2].*", nulls=False, out=tmp_path)


def test_workers_open_the_model_themselves_at_the_same_commit(server, tmp_path):
    here = analyze("hub:own/model", layers="layers.[0-3].*", nulls=False)
    server.asked.clear()
    # workers have the environment of the process that first started any: one of its own, not that of other tests
    there = tmp_path / "there.csv"
    call = f"analyze('hub:own/model', layers='layers.[0-3].*', nulls=False, workers=1).frame.to_csv({str(there)!r})"
    script = f"from spectail import analyze\nif __name__ == '__main__':\n    {call}\n"
    (tmp_path / "script.py").write_text(script)
    subprocess.run([sys.executable, tmp_path / "script.py"], check=True)
    assert here.frame.to_csv() == there.read_text()
    revisions = [path.rpartition("/")[2] for _, path, _ in server.asked if "/revision/" in path]
    assert revisions.count("main") == 1  # a branch that moves meanwhile moves no worker
    assert set(revisions[1:]) == {FIRST}


def test_no_file_of_an_analysis_has_a_secret(server, tmp_path, capsys):
    server.files["/x.safetensors"] = save(state(2))
    main(["analyze", f"{server.url}/x.safetensors?signature=secretsecret", "--out", str(tmp_path / "out")])
    assert "secretsecret" not in capsys.readouterr().out
    for path in (tmp_path / "out").iterdir():
        assert b"secretsecret" not in path.read_bytes()


def refs(answer, path):
    """What the hub says of branches and tags."""
    if path != "/api/models/own/model/refs":
        return False
    said = {"branches": ["main", "step10", "step2", "other"], "tags": ["step300"]}
    body = {
        kind: [{"name": name, "ref": f"refs/{name}", "targetCommit": FIRST} for name in said.get(kind, ())]
        for kind in ("branches", "tags", "converts")
    }
    return answer.say(200, {"Content-Type": "application/json"}, json.dumps(body).encode())


def test_revisions_of_a_model_are_a_series(server, tmp_path):
    server.fault = refs
    for at, name in enumerate(("step2", "step10", "step300")):
        server.branch[name] = commit = f"{at}" * 40
        server.commit(commit, **{"model.safetensors": save({"w.weight": torch.eye(20) * (1 + at)})})
    recording = analyze_series("hub:own/model", revisions="step*", nulls=False, out=tmp_path / "run.nc")
    assert recording["step"].values.tolist() == [2, 10, 300]
    assert recording["spectral_norm"].values[:, 0].tolist() == [1.0, 2.0, 3.0]
    assert recording["source"].values.tolist()[-1] == "hub:own/model@step300"
    before = server.bytes
    analyze_series("hub:own/model", revisions="step*", nulls=False, out=tmp_path / "run.nc")
    assert server.bytes == before, "what is measured is not read again"
    with pytest.raises(SourceError, match=r"has no revision that fits 'epoch\*'; it has main, step10, step2"):
        analyze_series("hub:own/model", revisions="epoch*")
    with pytest.raises(SourceError, match="names no model; with revisions expected hub:owner/name alone"):
        analyze_series("hub:own/model@main", revisions="step*")


def test_folders_of_a_model_are_a_series(server):
    files = {f"checkpoint-{n}/model.safetensors": save({"w.weight": torch.eye(20) * n}) for n in (9, 10)}
    server.commit(FIRST, **files)
    recording = analyze_series("hub:own/model", nulls=False)
    assert recording["spectral_norm"].values[:, 0].tolist() == [9.0, 10.0]
