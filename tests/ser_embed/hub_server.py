"""Stand-in for the Hugging Face Hub on loopback: repositories with branches, commits and pull requests, and its faults.

Large files are answered as the Hub answers them: with their SHA-256 and size, and a redirect to another host.
"""

import contextlib
import dataclasses
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".bin", ".safetensors")  # suffixes of the files that lie in large-file storage


@dataclasses.dataclass(frozen=True)
class Request:
    """A request that was answered: `sent` is the number of bytes of content."""

    method: str
    path: str
    range: str | None
    sent: int
    headers: dict[str, str]


@dataclasses.dataclass
class PullRequest:
    author: str
    commit: str
    status: str = "open"
    title: str = "Adding `safetensors` variant of this model"


@dataclasses.dataclass
class Repo:
    commits: dict[str, dict[str, bytes]] = dataclasses.field(default_factory=dict)
    refs: dict[str, str] = dataclasses.field(default_factory=dict)
    pull_requests: dict[int, PullRequest] = dataclasses.field(default_factory=dict)


class HubServer:
    """The server and what it holds; the attributes after `requests` are its faults.

    Attributes:
        break_after: bytes of a large file after which the connection is closed, in each response.
        stall_after: bytes of a large file after which nothing more is sent, and the connection stays open; the next
            responses stall at once.
        shorten_to: bytes that large files really have; more are promised.
        corrupt: large files arrive with a byte changed.
        ignore_range: the whole file is sent whatever range is asked for.
        silent: connections are accepted and nothing is answered.
        status: every request is answered with this status.
        gated: whose files are for those who have accepted terms.
        renamed: {old name: new name}.
        no_pull_requests: the list of pull requests is answered with an error.
    """

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.requests: list[Request] = []
        self.connections: set[socket.socket] = set()
        self._closing = threading.Event()
        self.heal()
        self._start(0)

    def heal(self) -> None:
        self.break_after: int | None = None
        self.stall_after: int | None = None
        self.shorten_to: int | None = None
        self.corrupt = self.ignore_range = self.silent = self.no_pull_requests = False
        self.status: int | None = None
        self.gated: set[str] = set()
        self.renamed: dict[str, str] = {}

    def _start(self, port: int) -> None:
        self._closing.clear()
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop it for a while."""
        self.stop()
        try:
            yield
        finally:
            self._start(self.port)

    def wait(self, seconds: float) -> None:
        self._closing.wait(seconds)

    def commit(self, repo_id: str, files: dict[str, bytes], ref: str = "main") -> str:
        """Make `files` all that a branch holds, and return the commit."""
        repo = self.repos.setdefault(repo_id, Repo())
        text = repr((repo_id, ref, len(repo.commits), sorted((name, _sha256(data)) for name, data in files.items())))
        commit = hashlib.sha1(text.encode()).hexdigest()
        repo.commits[commit] = dict(files)
        repo.refs[ref] = commit
        return commit

    def pull_request(self, repo_id: str, files: dict[str, bytes], author: str, status: str = "open") -> str:
        """Open a pull request that holds `files`, and return its commit."""
        repo = self.repos.setdefault(repo_id, Repo())
        number = len(repo.pull_requests) + 1
        commit = self.commit(repo_id, files, f"refs/pr/{number}")
        repo.pull_requests[number] = PullRequest(author, commit, status)
        return commit

    def sent(self, name: str) -> list[Request]:
        """Return the requests that content of a file was sent in answer to."""
        digests = {
            _sha256(files[name]) for repo in self.repos.values() for files in repo.commits.values() if name in files
        }
        ends = {f"/{name}", *(f"/cdn/{digest}" for digest in digests)}
        return [
            request
            for request in self.requests
            if request.method == "GET" and request.sent and any(request.path.endswith(end) for end in ends)
        ]


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.hub.connections.add(self.connection)

    def finish(self) -> None:
        self.hub.connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        if hub.silent:
            hub.wait(30)
            self.close_connection = True
        elif hub.status:
            self._send(hub.status)
        elif path.startswith("/cdn/"):
            self._send_large(path.removeprefix("/cdn/"))
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/.*)?", path):
            self._answer_api(match[1], match[2] or "/revision/main")
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/(refs/[^/]+/[^/]+|[^/]+)/(.+)", path):
            self._answer_file(*match.groups())
        else:
            self._send(404)

    def _find(self, repo_id: str) -> Repo | None:
        """Return a repository, or answer that it has moved or is not there."""
        if repo_id in self.hub.renamed:
            new = self.path.replace(repo_id, self.hub.renamed[repo_id], 1)
            self._send(307, {"Location": new})
            return None
        if repo_id not in self.hub.repos:
            self._send(404, {"X-Error-Code": "RepoNotFound"})
            return None
        return self.hub.repos[repo_id]

    def _answer_api(self, repo_id: str, rest: str) -> None:
        repo = self._find(repo_id)
        if repo is None:
            return
        if rest == "/discussions":
            self._list_pull_requests(repo_id, repo)
            return
        _, kind, revision = rest.split("/", 2)
        commit = repo.refs.get(revision, revision)
        if commit not in repo.commits:
            self._send(404, {"X-Error-Code": "RevisionNotFound"})
            return
        if kind == "tree":
            self._send_json([_tree_entry(name, data) for name, data in repo.commits[commit].items()])
            return
        siblings = [{"rfilename": name} for name in repo.commits[commit]]
        document = {"id": repo_id, "modelId": repo_id, "sha": commit, "siblings": siblings, "private": False}
        self._send_json(document)

    def _list_pull_requests(self, repo_id: str, repo: Repo) -> None:
        if self.hub.no_pull_requests:
            self._send(500)
            return
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        discussions = [
            {
                "num": number,
                "title": item.title,
                "author": {"name": item.author},
                "status": item.status,
                "isPullRequest": True,
                "createdAt": "2024-01-01T00:00:00.000Z",
                "repo": {"name": repo_id, "type": "model"},
            }
            for number, item in repo.pull_requests.items()
            if asked.get("author") in (None, item.author) and asked.get("status") in (None, "all", item.status)
        ]
        document = {"discussions": discussions, "count": len(discussions), "start": 0}
        self._send_json(document)

    def _send_json(self, document: Any) -> None:
        self._send(200, {"Content-Type": "application/json"}, json.dumps(document).encode())

    def _answer_file(self, repo_id: str, revision: str, name: str) -> None:
        repo = self._find(repo_id)
        if repo is None:
            return
        commit = repo.refs.get(revision, revision)
        if repo_id in self.hub.gated:
            self._send(403 if "Authorization" in self.headers else 401, {"X-Error-Code": "GatedRepo"})
        elif commit not in repo.commits:
            self._send(404, {"X-Error-Code": "RevisionNotFound"})
        elif name not in repo.commits[commit]:
            self._send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        elif name.endswith(LARGE):
            content = repo.commits[commit][name]
            self._send(
                302,
                {
                    "Location": f"http://localhost:{self.hub.port}/cdn/{_sha256(content)}",
                    "X-Linked-Etag": f'"{_sha256(content)}"',
                    "X-Linked-Size": str(len(content)),
                    "X-Repo-Commit": commit,
                },
            )
        else:
            content = repo.commits[commit][name]
            self._send(200, {"ETag": f'"{_git_hash(content)}"', "X-Repo-Commit": commit}, content)

    def _send_large(self, digest: str) -> None:
        hub = self.hub
        content = next(
            data
            for repo in hub.repos.values()
            for files in repo.commits.values()
            for data in files.values()
            if _sha256(data) == digest
        )
        if hub.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        if hub.shorten_to is not None:
            content = content[: hub.shorten_to]
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(asked[1]) if asked and not hub.ignore_range else 0
        if start and start >= len(content):
            self._send(416, {"Content-Range": f"bytes */{len(content)}"})
            return
        headers = {"ETag": f'"{digest}"', "Accept-Ranges": "bytes"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(206 if start else 200, headers, content[start:], is_large=True)

    def _send(
        self, status: int, headers: dict[str, str] | None = None, content: bytes = b"", is_large: bool = False
    ) -> None:
        hub = self.hub
        limits = [limit for limit in (hub.break_after, hub.stall_after) if limit is not None and is_large]
        body = b"" if self.command == "HEAD" else content[: min([len(content), *limits])]
        hub.requests.append(
            Request(self.command, self.path, self.headers.get("Range"), len(body), dict(self.headers.items()))
        )
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the client has gone
            self.wfile.write(body)
        if self.command == "GET" and len(body) < len(content):
            self.wfile.flush()
            if hub.stall_after is not None:
                hub.stall_after = 0
                hub.wait(30)
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True


def _tree_entry(name: str, data: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": name, "size": len(data), "oid": _git_hash(data)}
    return (
        {**entry, "lfs": {"oid": _sha256(data), "size": len(data), "pointerSize": 1}} if name.endswith(LARGE) else entry
    )


def _git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wait_for(condition: Any, seconds: float = 20.0) -> None:
    """Wait until a condition holds that another process brings about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
