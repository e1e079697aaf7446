"""Fault test of listening: `watch`, killed at random times, with a webhook that is down for a while.

    python -m tests.ser_monitor.faults FOLDER KILLS [--database URL] [--restart COMMAND]

FOLDER is empty. Modules are imported once; each attempt is a forked process that listens to a file at full speed, and
is killed with SIGKILL after a random time. In the middle third of the kills the webhook answers 503. With --restart, a
shell command that restarts the database's server is run in every third attempt instead of the kill, and the attempt
then ends by itself. Prints one JSON object: what was shown and is not in the database, gaps, and how often each alert
came.
"""

import argparse
import collections
import itertools
import json
import os
import random
import signal
import subprocess
import threading
import time
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import librosa  # noqa: F401  (these are imported here, so that no attempt spends its time on it)
import numpy as np
import sklearn.discriminant_analysis  # noqa: F401
import skops.io  # noqa: F401
import soundfile

import ser_embed
import ser_head
from ser_monitor import watch
from ser_monitor.database.database import Database
from ser_monitor.database.schema import deliveries
from ser_monitor.sessions import opening  # noqa: F401
from tests.ser_embed.conftest import tone, write_corpus

RATE_HZ = 16_000
RULES = """
[[rule]]
name = "pause"
when = "silence for 1 s"
cooldown_s = 0
channels = ["webhook:http://127.0.0.1:{port}/alerts"]
"""


class Receiver:
    """A webhook that counts what it takes.

    Attributes:
        received: how often each idempotency key was answered with 200.
        refused: number of answers 503.
        is_down: whether everything is refused.
    """

    def __init__(self) -> None:
        self.received: collections.Counter[str] = collections.Counter()
        self.refused, self.is_down = 0, False
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.is_down:
                    receiver.refused += 1
                else:
                    receiver.received[self.headers["Idempotency-Key"]] += 1
                self.send_response(503 if receiver.is_down else 200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()


def arguments_of(folder: Path) -> list[str]:
    """Return the arguments of `watch` but for the database."""
    options = ["--window", "1", "--hop", "0.5", "--vad", "off", "--speed", "max", "--unusual", "0"]
    return [str(folder / "speech.wav"), "--run", str(folder / "run"), "--rules", str(folder / "rules.toml"), *options]


def prepare(folder: Path, port: int) -> None:
    """Write a run, a recording with pauses, and rules."""
    data = write_corpus(folder / "data" / "tones", 24)
    ser_embed.extract("mfcc", data=data, store=folder / "mfcc.h5")
    ser_head.train(store=folder / "mfcc.h5", protocol="random", head="lda", out=folder / "run")
    pause = np.zeros(3 * RATE_HZ, np.float32)
    parts = [part for number in range(9) for part in (tone(4 * RATE_HZ, number), pause)]
    soundfile.write(folder / "speech.wav", np.concatenate(parts), RATE_HZ)
    (folder / "rules.toml").write_text(RULES.format(port=port))


def fork(work: Callable[[], int | None], output: Path) -> int:
    """Work in a forked process, whose output goes to a file; return its process id.

    Threads do not survive a fork: this process itself must compute nothing.
    """
    process_id = os.fork()
    if process_id:
        return process_id
    code = 1
    try:
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.dup2(os.open(output.with_suffix(".err"), os.O_WRONLY | os.O_CREAT), 2)
        code = work() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def start(arguments: list[str], output: Path) -> int:
    """Listen in a forked process, whose JSON lines go to a file; return its process id."""
    return fork(lambda: watch.main(arguments), output)


def shown_events(output: Path) -> set[tuple[str, int]]:
    """Return session and number of each event of which the line is whole."""
    text = output.read_text("utf-8") if output.exists() else ""
    lines = [json.loads(line) for line in text.split("\n")[:-1]]
    return {(line["session"], line["number"]) for line in lines if line["type"] == "measurement"}


def gaps_of(database: Database) -> list[str]:
    """Return the sessions whose events are not numbered from 0 without gaps."""
    table = database.segments(kind=None)
    numbers = table.sort_values("number").groupby("session_id")["number"].apply(list)
    return [session for session, values in numbers.items() if values != list(range(len(values)))]


def run(folder: Path, kills: int, url: str, restart: str | None) -> dict[str, Any]:
    """Kill, restart, let the last attempt end, and return what was wrong.

    Args:
        folder: empty.
        kills: number of attempts that are disturbed.
        url: of the database.
        restart: shell command that restarts its server.
    """
    receiver, chance = Receiver(), random.Random(0)
    os.waitpid(fork(lambda: prepare(folder, receiver.port), folder / "prepare.txt"), 0)
    arguments = [*arguments_of(folder), "--database", url]
    for _ in range(2):  # the first one warms up
        started_s = time.monotonic()
        os.waitpid(start(arguments, folder / "whole.jsonl"), 0)
        whole_s = time.monotonic() - started_s
    shown, codes, num_killed, num_restarts = shown_events(folder / "whole.jsonl"), [], 0, 0
    for number in itertools.count():
        disturbed = num_killed + num_restarts
        if disturbed == kills:
            break
        receiver.is_down = kills / 3 <= disturbed < 2 * kills / 3
        output = folder / f"{number}.jsonl"
        process_id = start(arguments, output)
        time.sleep(chance.uniform(0.1, 0.9) * whole_s)
        if restart is not None and number % 3 == 0:
            subprocess.run(restart, shell=True, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            num_restarts += 1
            codes.append(os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1]))
        else:
            os.kill(process_id, signal.SIGKILL)
            num_killed += os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1]) == -signal.SIGKILL
        shown |= shown_events(output)
    receiver.is_down = False
    last = os.waitstatus_to_exitcode(os.waitpid(start(arguments, folder / "last.jsonl"), 0)[1])
    with Database(url) as database:
        wait_for_deliveries(database)
        table = database.segments(kind=None)
        stored = set(zip(table["session_id"], table["number"].astype(int), strict=True))
        alerts = set(database.alerts()["id"])
        return {
            "killed": num_killed,
            "restarts": num_restarts,
            "exit_codes": sorted(set(codes)),
            "last_exit_code": last,
            "shown": len(shown),
            "shown_but_lost": len(shown - stored),
            "sessions": int(table["session_id"].nunique()),
            "sessions_with_gaps": gaps_of(database),
            "open_sessions": int(database.sessions()["ended_at"].isna().sum()),
            "alerts": len(alerts),
            "alerts_never_received": len(alerts - set(receiver.received)),
            "received_without_alert": len(set(receiver.received) - alerts),
            "received_again_with_the_same_key": sum(count - 1 for count in receiver.received.values()),
            "refused": receiver.refused,
        }


def wait_for_deliveries(database: Database, longest_s: float = 90.0) -> None:
    """Send what is pending, as the next start of `watch` would, until nothing is."""
    from ser_monitor.alerts.delivery import Delivery

    delivery = Delivery(database)
    delivery.start()
    ends_s = time.monotonic() + longest_s
    while time.monotonic() < ends_s and database.next_delivery_at() is not None:
        time.sleep(0.2)
    delivery.close()
    with database.reading() as connection:
        states = {row.state for row in connection.execute(deliveries.select())}
    if states - {"sent"}:
        raise SystemExit(f"deliveries are left: {states}")


def main() -> int:
    """Run and print the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("kills", type=int)
    parser.add_argument("--database", default=None)
    parser.add_argument("--restart", default=None)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    print(json.dumps(run(args.folder, args.kills, args.database or str(args.folder / "monitor.db"), args.restart)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
