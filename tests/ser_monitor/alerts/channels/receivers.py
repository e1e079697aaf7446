"""Receivers of alerts on this machine: an HTTP server and a mail server that answer as a test says."""

import contextlib
import shutil
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


class Receiver:
    """What a server was sent, and how it answers.

    Attributes:
        port: where it listens.
        requests: path, headers and body of each request; lines and message of each mail.
        answers: for the next requests, in order; the last one for all further.
    """

    def __init__(self, answers: list[Any]) -> None:
        self.port = 0
        self.requests: list[tuple[str, Any, bytes]] = []
        self.answers = answers

    def answer(self) -> Any:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextlib.contextmanager
def serving(server: socketserver.TCPServer, receiver: Receiver) -> Iterator[Receiver]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    receiver.port = server.server_address[1]
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()  # joins the threads of requests
        thread.join()


@contextlib.contextmanager
def http_receiver(*answers: int | tuple[int, dict[str, str]] | threading.Event) -> Iterator[Receiver]:
    """Serve HTTP; an answer is a status, a status with headers, or an event that is waited for before hanging up."""
    receiver = Receiver(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.requests.append((self.path, self.headers, body))
            answer = receiver.answer()
            if isinstance(answer, threading.Event):
                answer.wait(60)
                return
            status, headers = answer if isinstance(answer, tuple) else (answer, {})
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    with serving(server, receiver):
        yield receiver


@contextlib.contextmanager
def mail_receiver(
    *answers: str, extensions: tuple[str, ...] = (), certificate: Path | None = None, encrypted: bool = False
) -> Iterator[Receiver]:
    """Serve SMTP; an answer is that to RCPT, and stands for "250 ok" to all else."""
    receiver = Receiver(list(answers))
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)

    class Handler(socketserver.StreamRequestHandler):
        def setup(self) -> None:
            if tls is not None and encrypted:
                self.request = tls.wrap_socket(self.request, server_side=True)
            super().setup()

        def finish(self) -> None:
            super().finish()
            self.request.close()

        def reply(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        def handle(self) -> None:
            self.reply("220 ready")
            lines: list[str] = []
            while line := self.rfile.readline().decode().rstrip("\r\n"):
                lines.append(line)
                command = line.split()[0].upper()
                if command == "EHLO":
                    offered = extensions if not isinstance(self.request, ssl.SSLSocket) else ("AUTH PLAIN",)
                    for text in ("host", *offered)[:-1]:
                        self.reply(f"250-{text}")
                    self.reply(f"250 {('host', *offered)[-1]}")
                elif command == "STARTTLS" and tls is not None:
                    self.reply("220 go on")
                    self.request = tls.wrap_socket(self.request, server_side=True)
                    self.rfile.close()
                    self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", 0)
                elif command == "AUTH":
                    self.reply(receiver.answers[0] if receiver.answers[0].startswith("535") else "235 welcome")
                elif command == "RCPT":
                    self.reply(receiver.answer())
                elif command == "DATA":
                    self.reply("354 go on")
                    body = b"".join(iter(self.rfile.readline, b".\r\n"))
                    receiver.requests.append(("", lines.copy(), body))
                    self.reply("250 taken")
                elif command == "QUIT":
                    self.reply("221 bye")
                    break
                else:
                    self.reply("250 ok")
            receiver.requests.append(("end", lines, b""))

    class Server(socketserver.ThreadingTCPServer):
        def handle_error(self, *_: object) -> None:
            """Print nothing when a client hangs up, as one that does not trust the certificate."""

    server = Server(("127.0.0.1", 0), Handler)
    with serving(server, receiver):
        yield receiver


def make_certificate(folder: Path) -> Path:
    """Make a certificate of localhost with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, which makes the certificate of the test's server")
    path = folder / "localhost.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", *kind, *name, "-keyout", path, "-out", folder / "only.pem"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + (folder / "only.pem").read_bytes())
    return path
