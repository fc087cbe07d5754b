"""A read-only stand-in for the Hugging Face Hub on 127.0.0.1 (standard library only).

    python tests/loopback_hub.py --root DIR [--port 0] [--log FILE] [--seed N]
        [--fault KIND:RATE[@REGEX] ...]
    export HF_ENDPOINT=http://127.0.0.1:PORT        # the URL is the first line on stdout

DIR/models/OWNER/NAME/... and DIR/datasets/OWNER/NAME/... are served as repositories that have one
branch (main) and one commit (a made-up hash that depends only on the content). A bare NAME
redirects to OWNER/NAME, as `bert-base-uncased` does on the real Hub. DIR is read once, at start:
restart after changing it.

Faults. RATE is a probability (0.3) or xN (the first N requests of each URL); REGEX restricts a
fault to matching "METHOD /path?query" lines; the first --fault that fires wins. Whether one fires
depends only on the seed, the request line and how often that line was seen, so runs repeat whatever
the order of threads.
    500, 429   answer with that status (429 with Retry-After and RateLimit headers)
    drop       close the connection in mid-body (before any answer if the response has no body)
    reset      the same, with a TCP reset instead of an orderly close
    slow       pause --delay seconds at that point, then carry on
    corrupt    flip one byte in each 64 KiB of the body; the length and all headers stay right
Log lines: time, method, path, status, bytes=SENT/CONTENT-LENGTH, range, fault.
"""

import argparse
import collections
import contextlib
import hashlib
import http.server
import json
import random
import re
import signal
import socket
import socketserver
import struct
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

DATE = "2024-01-01T00:00:00.000Z"
CHUNK = 1 << 16
LFS = {
    ".parquet",
    ".arrow",
    ".safetensors",
    ".bin",
    ".pt",
    ".h5",
    ".onnx",
    ".gz",
    ".zip",
    ".msgpack",
}
FAULTS = ("500", "429", "drop", "reset", "slow", "corrupt")
OPS = "revision|tree|paths-info|commits|refs"
API = re.compile(
    rf"/api/(models|datasets)/([^/]+(?:/(?!(?:{OPS})(?:/|$))[^/]+)?)(?:/({OPS})(?:/([^/]+)(?:/(.+))?)?)?"
)
RESOLVE = re.compile(r"/(?:(datasets)/)?([^/]+(?:/[^/]+)?)/(?:resolve|raw)/([^/]+)/(.+)")


class Repo:
    """One repository: its id, its commit hash,
    and the API description of every file and folder in it.
    """

    def __init__(self, kind, folder):
        self.kind, self.folder, self.id = kind, folder, f"{folder.parent.name}/{folder.name}"
        self.files, self.dirs = {}, {}
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            path = file.relative_to(folder).as_posix()
            if path.startswith((".git/", ".cache/")):
                continue
            size = file.stat().st_size
            sha256, git_oid = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size)
            with file.open("rb") as f:
                while block := f.read(1 << 20):
                    sha256.update(block)
                    git_oid.update(block)
            entry = {
                "type": "file",
                "path": path,
                "size": size,
                "oid": git_oid.hexdigest(),
                "etag": sha256.hexdigest(),
            }
            if file.suffix in LFS:  # the Hub lists these as pointers to large files
                entry["lfs"] = {"oid": entry["etag"], "size": size, "pointerSize": 134}
            self.files[path] = entry
            for parent in Path(path).parents[:-1]:
                oid = hashlib.sha1(f"{self.id}/{parent}".encode()).hexdigest()
                self.dirs[str(parent)] = {
                    "type": "directory",
                    "path": str(parent),
                    "size": 0,
                    "oid": oid,
                }
        content = json.dumps([kind, self.id, [(p, e["etag"]) for p, e in self.files.items()]])
        self.sha = hashlib.sha1(content.encode()).hexdigest()

    def has_revision(self, revision):
        return revision in (None, "main", "HEAD") or (
            len(revision) >= 7 and self.sha.startswith(revision)
        )

    def info(self, blobs):
        siblings = [
            {"rfilename": p}
            | (
                {
                    "size": e["size"],
                    "blobId": e["oid"],
                    "lfs": e.get("lfs")
                    and {"sha256": e["etag"], "size": e["size"], "pointerSize": 134},
                }
                if blobs
                else {}
            )
            for p, e in self.files.items()
        ]
        return {
            "_id": self.sha[:24],
            "id": self.id,
            "modelId": self.id,
            "author": self.id.split("/")[0],
            "sha": self.sha,
            "lastModified": DATE,
            "createdAt": DATE,
            "private": False,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": siblings,
        }

    def listing(self, entries, expand):
        extra = (
            {"lastCommit": {"id": self.sha, "title": "loopback", "date": DATE}} if expand else {}
        )
        return [{k: v for k, v in e.items() if k != "etag"} | extra for e in entries]

    def tree(self, path, recursive):
        prefix = path + "/" if path else ""
        inside = [
            e for e in (*self.dirs.values(), *self.files.values()) if e["path"].startswith(prefix)
        ]
        return [e for e in inside if recursive or e["path"].count("/") == prefix.count("/")]


@dataclass(frozen=True)
class Target:
    """What the path of a request asks for."""

    kind: str
    """Either "models" or "datasets"."""
    repo_id: str
    """OWNER/NAME, or a bare NAME."""
    operation: str | None
    """Either "resolve" (a file), one of OPS, or None: the repository itself."""
    revision: str | None
    """The branch or commit; None where the path names none."""
    path: str
    """The file or folder inside the repository; "" for its root."""
    id_start: int
    """Where the repository's id starts in the request's path, in characters."""
    id_stop: int
    """Where it ends."""


def parse_target(path: str) -> Target | None:
    """Take a request's path (without its query) apart; None if it is no address of a repository."""
    if match := RESOLVE.fullmatch(path):
        kind, operation = match[1] or "models", "resolve"
        revision, inside = match[3], match[4]
    elif match := API.fullmatch(path.rstrip("/")):
        kind, operation = match[1], match[3]
        revision, inside = match[4], match[5] or ""
    else:
        return None
    return Target(
        kind=kind,
        repo_id=unquote(match[2]),
        operation=operation,
        revision=unquote(revision) if revision else None,
        path=unquote(inside).strip("/"),
        id_start=match.start(2),
        id_stop=match.end(2),
    )


class Faults:
    def __init__(self, specs, seed):
        self.seed, self.seen, self.lock, self.rules = (
            seed,
            collections.Counter(),
            threading.Lock(),
            [],
        )
        for spec in specs:
            match = re.fullmatch(rf"({'|'.join(FAULTS)}):(?:x(\d+)|(\d*\.?\d+))(?:@(.*))?", spec)
            if not match or float(match[3] or 0) > 1:
                raise SystemExit(
                    f"bad --fault {spec!r}: want KIND:RATE[@REGEX], KIND one of "
                    f"{', '.join(FAULTS)}, RATE a number from 0 to 1, or xN"
                )
            self.rules.append(
                (match[1], int(match[2] or 0), float(match[3] or 0), re.compile(match[4] or ""))
            )

    def pick(self, line):
        """The fault for this request, if any, and a random generator that belongs
        to this request alone.
        """
        with self.lock:
            self.seen[line] += 1
            count = self.seen[line]
        for i, (kind, first, rate, regex) in enumerate(self.rules):
            rng = random.Random(f"{self.seed}|{i}|{line}|{count}")
            if regex.search(line) and (count <= first or rng.random() < rate):
                return kind, rng
        return None, None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, server_version = "HTTP/1.1", "loopback-hub/1"
    disable_nagle_algorithm, timeout = True, 300

    def handle_request(self):
        self.fault, self.rng = self.server.faults.pick(f"{self.command} {self.path}")
        try:
            self.body = self.rfile.read(
                int(self.headers.get("Content-Length") or 0)
            )  # drain it: keep-alive
            if self.fault == "500":
                self.send(500, {"error": "Internal Server Error (injected)"})
            elif self.fault == "429":
                wait = self.server.retry_after
                self.send(
                    429,
                    {"error": "Too Many Requests (injected)"},
                    {
                        "Retry-After": wait,
                        "RateLimit": f'"api";r=0;t={wait}',
                        "RateLimit-Policy": '"fixed window";"api";q=500;w=300',
                    },
                )
            else:
                self.route()
        except ValueError as error:  # a length, form or JSON body that does not parse
            self.close_connection = True
            self.send(400, {"error": f"Bad request: {error}"})
        except (ConnectionError, TimeoutError):  # the client went away: nothing to answer
            self.close_connection = True
            self.server.log(f"{time.time():.3f} {self.command} {self.path} client-gone")

    do_GET = do_HEAD = do_POST = handle_request

    def route(self) -> None:
        """Answer a request that no fault has answered already."""
        url = urlsplit(self.path)
        query = {name: values[-1].lower() for name, values in parse_qs(url.query).items()}
        target = parse_target(url.path)
        if target is None:  # xet tokens, dataset viewer, whoami, ...: this Hub has none of them
            self.missing("Sorry, we can't find the page you are looking for.")
            return
        repo = self.server.repos.get((target.kind, target.repo_id))
        if repo is None:
            self.send_full_name(target)
        elif not repo.has_revision(target.revision):
            self.missing("Invalid rev id", "RevisionNotFound")
        elif target.operation == "resolve":
            self.answer_resolve(repo, target.path)
        elif target.operation == "tree":
            self.answer_tree(repo, target.path, query)
        elif target.operation == "paths-info":
            self.answer_paths_info(repo, query)
        elif target.operation == "commits":
            commit = {"id": repo.sha, "title": "loopback", "message": "", "date": DATE}
            self.send(200, [{**commit, "authors": []}])
        elif target.operation == "refs":
            main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.sha}
            self.send(200, {"branches": [main], "converts": [], "tags": []})
        else:
            self.send(200, repo.info(query.get("blobs") == "true"), {"X-Repo-Commit": repo.sha})

    def send_full_name(self, target: Target) -> None:
        """Redirect NAME to OWNER/NAME if exactly one repository has that name; else 404."""
        named = [
            repo.id
            for repo in self.server.repos.values()
            if repo.kind == target.kind and repo.folder.name == target.repo_id
        ]
        if len(named) != 1:
            self.missing("Repository not found", "RepoNotFound")
            return
        before, after = self.path[: target.id_start], self.path[target.id_stop :]
        location = before + quote(named[0]) + after
        self.send(307, {"message": f"Moved to {named[0]}"}, {"Location": location})

    def answer_resolve(self, repo: Repo, path: str) -> None:
        """Send one file."""
        if path in repo.files:  # this also refuses every path that leaves the repository
            self.send_repo_file(repo, repo.files[path])
        else:
            self.missing("Entry not found", "EntryNotFound", {"X-Repo-Commit": repo.sha})

    def answer_tree(self, repo: Repo, path: str, query: dict[str, str]) -> None:
        """List what a folder contains, with everything below it if the query says so."""
        commit = {"X-Repo-Commit": repo.sha}
        if path and path not in repo.dirs:
            self.missing("Path not found at this revision", "EntryNotFound", commit)
            return
        entries = repo.tree(path, query.get("recursive") == "true")
        self.send(200, repo.listing(entries, query.get("expand") == "true"), commit)

    def answer_paths_info(self, repo: Repo, query: dict[str, str]) -> None:
        """Describe the files and folders that the request's body names; skip unknown ones."""
        is_json = self.body[:1] == b"{"
        form = json.loads(self.body) if is_json else parse_qs(self.body.decode())
        known = []
        for path in form.get("paths", []):
            name = path.strip("/")
            entry = repo.files.get(name) or repo.dirs.get(name)
            if entry:
                known.append(entry)
        in_form = str(form.get("expand")).lower() in ("true", "['true']")
        expand = in_form or query.get("expand") == "true"
        self.send(200, repo.listing(known, expand), {"X-Repo-Commit": repo.sha})

    def missing(self, message, code=None, headers=()):
        code = {"X-Error-Code": code} if code else {}
        self.send(404, {"error": message}, {"X-Error-Message": message} | code | dict(headers))

    def send_repo_file(self, repo, entry):
        size, etag, name = entry["size"], f'"{entry["etag"]}"', quote(Path(entry["path"]).name)
        headers = {
            "X-Repo-Commit": repo.sha,
            "ETag": etag,
            "X-Linked-Etag": etag,
            "X-Linked-Size": size,
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f"inline; filename*=UTF-8''{name}; filename=\"{name}\";",
        }
        status, start, stop = 200, 0, size
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "").strip())
        if wanted and any(
            wanted.groups()
        ):  # anything else (several ranges, other units) gets the whole file
            first, last = wanted.groups()
            start = int(first) if first else max(0, size - int(last))
            stop = min(size, int(last) + 1) if first and last else size
            if start >= stop:
                return self.send(
                    416, {"error": "Range Not Satisfiable"}, {"Content-Range": f"bytes */{size}"}
                )
            status, headers["Content-Range"] = 206, f"bytes {start}-{stop - 1}/{size}"
        with (repo.folder / entry["path"]).open("rb") as file:
            file.seek(start)
            self.send(status, file, headers, stop - start)

    def send(self, status, content, headers=(), length=None):
        """Write one response. Every byte leaves through here,
        so every fault can strike every response.
        """
        headers = dict(headers)
        if length is None:  # not an open file: a JSON document
            content, headers["Content-Type"] = (
                json.dumps(content).encode(),
                "application/json; charset=utf-8",
            )
            length = len(content)
        body = 0 if self.command == "HEAD" else length  # bytes that follow the headers
        strike = self.fault in ("drop", "reset", "slow")
        cut = max(1, self.rng.randint(body // 4, body * 3 // 4)) if strike and body else 0
        # Logged before the first byte leaves: a client that has its answer finds the line already
        # written.
        self.server.log(
            f"{time.time():.3f} {self.command} {self.path} {status}"
            f" bytes={cut if self.fault in ('drop', 'reset') else body}/{length}"
            f" range={self.headers.get('Range', '-')} fault={self.fault or '-'}"
        )
        if strike and not body and self.interrupt():
            return
        headers |= {"Content-Length": length, "X-Request-Id": f"loopback-{time.time_ns():x}"}
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, str(value))
        self.end_headers()
        sent = 0
        while sent < body:
            stop = min(body, sent + CHUNK, cut if sent < cut else body)
            block = content[sent:stop] if isinstance(content, bytes) else content.read(stop - sent)
            if not block:
                raise ConnectionError("the file shrank while it was being served")
            if self.fault == "corrupt":
                block = bytearray(block)
                block[self.rng.randrange(len(block))] ^= 0xFF
            self.wfile.write(block)
            sent += len(block)
            if strike and sent == cut and self.interrupt():
                return

    def interrupt(self):
        """Pause (slow: False, carry on) or end the connection (drop, reset: True)."""
        if self.fault == "slow":
            time.sleep(self.server.delay)
            return False
        if (
            self.fault == "reset"
        ):  # closing with a zero linger time sends RST; see Server.shutdown_request
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            time.sleep(0.05)  # let what was written reach the client first
        self.close_connection = True
        return True

    def log_request(self, *args):
        """send() has logged it already."""

    def log_message(self, text, *args):  # what is left: malformed requests
        self.server.log(f"{time.time():.3f} " + text % args)


class Server(
    socketserver.ThreadingMixIn, socketserver.TCPServer
):  # not HTTPServer: that one looks up host names
    daemon_threads, allow_reuse_address, request_queue_size = True, True, 128

    def shutdown_request(self, request):
        if struct.unpack("ii", request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))[0]:
            self.close_request(request)  # no orderly FIN before the reset
        else:
            super().shutdown_request(request)

    def handle_error(self, request, address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, address)

    def log(self, line):
        with self.log_lock:
            self.requests.append(line)
            if self.log_file:
                print(line, file=self.log_file, flush=True)

    def count(self, pattern):
        """How many logged lines match."""
        return sum(bool(re.search(pattern, line)) for line in self.requests)


@contextlib.contextmanager
def serve(root, faults=(), *, seed=0, port=0, delay=2, retry_after=1, log_file=sys.stderr):
    """Serve `root` from threads of this process; yields the server,
    whose `url` clients take as HF_ENDPOINT.
    """
    repos = [
        Repo(kind, folder)
        for kind in ("models", "datasets")
        for folder in sorted((Path(root) / kind).glob("*/*"))
        if folder.is_dir()
    ]
    if not repos:
        raise SystemExit(f"no models/OWNER/NAME or datasets/OWNER/NAME folder under {root}")
    with Server(("127.0.0.1", port), Handler, bind_and_activate=False) as server:
        server.repos, server.faults = {(r.kind, r.id): r for r in repos}, Faults(faults, seed)
        server.delay, server.retry_after, server.log_lock = delay, retry_after, threading.Lock()
        server.log_file, server.requests = log_file, []
        server.server_bind()
        server.server_activate()
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        for repo in repos:
            server.log(f"# {repo.kind} {repo.id} {repo.sha} {len(repo.files)} files")
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def connect(monkeypatch, server, cache):
    """Point the Hub's client of this process to `server`,
    with an empty cache and hardly a pause between tries.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.05)))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name, value in {
        "ENDPOINT": server.url,
        "HF_HUB_OFFLINE": False,
        "HF_HUB_CACHE": str(cache),
        "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}",
    }.items():
        monkeypatch.setattr(constants, name, value)
    close_session()  # the old one remembers proxies and connections


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument(
        "--log", type=Path, help="append one line per request here instead of stderr"
    )
    parser.add_argument("--fault", action="append", default=[], metavar="KIND:RATE[@REGEX]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--delay", type=float, default=2, help="seconds that slow pauses (clients wait 10)"
    )
    parser.add_argument(
        "--retry-after", type=int, default=1, help="seconds a 429 asks the client to wait"
    )
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    log_file = args.log.open("a") if args.log else sys.stderr
    with (
        contextlib.suppress(KeyboardInterrupt),
        serve(
            args.root,
            args.fault,
            seed=args.seed,
            port=args.port,
            delay=args.delay,
            retry_after=args.retry_after,
            log_file=log_file,
        ) as server,
    ):
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
