"""A package index on 127.0.0.1, for pip by its address and for uv in place of the indexes
that are built into it.

uv looks for torch's builds at addresses of its own. Given as HTTPS_PROXY, this server is asked to
connect to them, and answers itself, with a certificate for the host of that moment by an authority
of its own (SSL_CERT_FILE).
    /simple/NAME/          what any index says about a package (PEP 503), with the wheels' metadata
                           apart (PEP 658)
    /whl/BACKEND/torch/    torch's build for cpu, cu130, rocm6.4, ...: made up on demand
"""

import contextlib
import hashlib
import http.server
import io
import re
import ssl
import threading
import time
import zipfile
from pathlib import Path

import trustme

TORCH = "2.13.0"


def wheel(
    name: str, version: str, files: dict[str, bytes], requires: tuple[str, ...] = ()
) -> tuple[str, bytes]:
    """A wheel of these files: its name and its bytes."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Requires-Dist: {need}" for need in requires]
    parts = files | {
        f"{info}/METADATA": "\n".join(metadata).encode() + b"\n",
        f"{info}/WHEEL": (
            b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    parts[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*parts, f"{info}/RECORD"]).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in parts.items():
            archive.writestr(zipfile.ZipInfo(path, (2024, 1, 1, 0, 0, 0)), content)
    return f"{name.replace('-', '_')}-{version}-py3-none-any.whl", buffer.getvalue()


def torch_wheel(build: str, requires: tuple[str, ...]) -> tuple[str, bytes]:
    """A torch that only knows its version; build is "" for the one in the ordinary index."""
    version = f"{TORCH}+{build}" if build else TORCH
    return wheel(
        "torch", version, {"torch/__init__.py": f"__version__ = {version!r}\n".encode()}, requires
    )


def metadata_of(content: bytes) -> bytes:
    """The METADATA in a wheel."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(
            next(path for path in archive.namelist() if path.endswith(".dist-info/METADATA"))
        )


class Index(http.server.ThreadingHTTPServer):
    """Serves the wheels given. `asked` is what was asked for,
    `mood` what becomes of a wish to connect elsewhere.
    """

    daemon_threads = True

    def __init__(self, wheels: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.wheels, self.asked, self.mood = wheels, [], "answers"  # or "refuses", "is silent"
        self.authority = trustme.CA()
        self.contexts: dict[str, ssl.SSLContext] = {}
        self.address = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def context(self, host: str) -> ssl.SSLContext:
        """What it takes to pass for this host."""
        if host not in self.contexts:
            self.contexts[host] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.authority.issue_cert(host).configure_cert(self.contexts[host])
        return self.contexts[host]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up (uv is ended, pip has seen enough) is no error."""


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection: plain, or what follows a CONNECT."""

    server: Index
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self) -> None:
        self.server.asked.append("CONNECT")
        if self.server.mood == "is silent":
            time.sleep(60)
        if self.server.mood != "answers":
            self.send_error(502)
            return
        self.send_response(200)
        self.end_headers()
        host = self.path.rsplit(":", 1)[0]
        self.rfile.close()
        self.connection = self.server.context(host).wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = (
            self.connection.makefile("rb"),
            self.connection.makefile("wb", buffering=0),
        )
        self.close_connection = False

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        self.rfile.close()
        self.wfile.close()
        self.connection.close()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.server.asked.append(path)
        body = self.answer(path)
        self.send_response(404 if body is None else 200)
        self.send_header(
            "Content-Type", "text/html" if path.endswith("/") else "application/octet-stream"
        )
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body or b"")

    def answer(self, path: str) -> bytes | None:
        """The body of a page or file; None if there is none."""
        wheels = self.server.wheels
        backend = re.fullmatch(r"/whl/([\w.]+)/torch/", path)
        if backend:
            build = backend[1]
            name, content = torch_wheel(
                build, ("nvidia-nccl",) if build.startswith("cu") else ("filelock",)
            )
            wheels[name] = content
            return self.page([name])
        if path.startswith("/simple/"):
            name = path.split("/")[2].replace("-", "_")
            here = [file for file in wheels if file.startswith(f"{name}-") and "+" not in file]
            return self.page(here) if here else None
        name = Path(path).name.replace("%2B", "+")
        if name.endswith(".metadata"):
            content = wheels.get(name.removesuffix(".metadata"))
            return metadata_of(content) if content else None
        return wheels.get(name)

    def page(self, names: list[str]) -> bytes:
        """A page of an index."""
        lines = []
        for name in names:
            content = self.server.wheels[name]
            digest, described = (
                hashlib.sha256(part).hexdigest() for part in (content, metadata_of(content))
            )
            lines.append(
                f'<a href="/files/{name.replace("+", "%2B")}#sha256={digest}" '
                f'data-core-metadata="sha256={described}">{name}</a>'
            )
        return f"<!DOCTYPE html><html><body>{''.join(lines)}</body></html>".encode()

    def log_message(self, *arguments: object) -> None:
        """Not on the terminal; see Index.asked."""
