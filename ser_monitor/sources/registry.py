"""Registry of sources: what a command calls a source, and what opens it.

A new kind of source is a subclass of `Source` and one entry of `SOURCES`. The entries are asked in order, and the first
that accepts a text opens it.
"""

import dataclasses
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from ser_embed.errors import InputError
from ser_monitor.sources.address import AddressSource, require_address
from ser_monitor.sources.base import Source, is_utf8
from ser_monitor.sources.credentials import without_credentials
from ser_monitor.sources.file import FileSource
from ser_monitor.sources.folder import FolderSource
from ser_monitor.sources.microphone import MicrophoneSource
from ser_monitor.sources.options import SourceOptions
from ser_monitor.sources.pipes import PipeSource, StdinSource

_MICROPHONE = "mic"
_STDIN = "-"
_NAMED = re.compile(r"(?P<name>[\w][\w .-]*)=(?P<text>.+)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class SourceSpec:
    """A kind of source.

    Attributes:
        form: how its text looks, for help and messages.
        accepts: tells whether a text is of this form.
        default_name: names the source after its text.
        open: makes the source, of its name, its text and options.
    """

    form: str
    accepts: Callable[[str], bool]
    default_name: Callable[[str], str]
    open: Callable[[str, str, SourceOptions], Source]


def _is_microphone(text: str) -> bool:
    return text == _MICROPHONE or text.startswith(f"{_MICROPHONE}:")


def _open_microphone(name: str, text: str, options: SourceOptions) -> Source:
    return MicrophoneSource(name, text.removeprefix(_MICROPHONE).removeprefix(":").strip(), options)


def _is_pipe(text: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(text).st_mode)
    except (OSError, ValueError):  # it is not there, or no path
        return False


def _stem(text: str) -> str:
    return Path(text).stem


def _folder_name(text: str) -> str:
    return Path(text).resolve().name or "folder"


SOURCES: dict[str, SourceSpec] = {
    MicrophoneSource.kind: SourceSpec("mic or mic:DEVICE", _is_microphone, lambda text: _MICROPHONE, _open_microphone),
    StdinSource.kind: SourceSpec(
        "- for raw audio on stdin",
        lambda text: text == _STDIN,
        lambda text: "stdin",
        lambda name, text, options: StdinSource(name, options),
    ),
    AddressSource.kind: SourceSpec(
        "an rtsp:// or http:// address", lambda text: "://" in text, require_address, AddressSource
    ),
    FolderSource.kind: SourceSpec(
        "a folder",
        os.path.isdir,
        _folder_name,
        lambda name, text, options: FolderSource(name, Path(text), options),
    ),
    PipeSource.kind: SourceSpec(
        "a named pipe",
        _is_pipe,
        _stem,
        lambda name, text, options: PipeSource(name, Path(text), options),
    ),
    FileSource.kind: SourceSpec(
        "an audio file",
        os.path.isfile,
        _stem,
        lambda name, text, options: FileSource(name, Path(text), options),
    ),
}
"""Every kind of source there is, by the source's `kind`."""


def open_source(text: str, options: SourceOptions | None = None) -> Source:
    """Make the source that a text means; nothing is listened to yet.

    Args:
        text: a source, such as `mic`, `-`, a path or an address, or NAME=SOURCE, which names it. A path that has "="
            in it and exists is that path.
        options: how it is read.

    Raises:
        InputError: it is none of the forms there are, or can never be opened.
    """
    name, named_text = _split_name(text)
    if not is_utf8(text):
        raise InputError(f"expected a source whose name is UTF-8, not {text}; rename it")
    for spec in SOURCES.values():
        if spec.accepts(named_text):
            return spec.open(name or spec.default_name(named_text), named_text, options or SourceOptions())
    forms = ", ".join(spec.form for spec in SOURCES.values())
    raise InputError(f"expected a source ({forms}), but there is no {without_credentials(named_text)!r}")


def _split_name(text: str) -> tuple[str, str]:
    """Return the name that a text gives a source, or "", and the rest."""
    match = None if os.path.exists(text) else _NAMED.fullmatch(text)
    return (match["name"].strip(), match["text"]) if match else ("", text)


def require_distinct_names(sources: Sequence[Source]) -> None:
    """Check that sources differ in their names, by which rules and reports know them.

    Raises:
        InputError: two have the same name.
    """
    for name, count in Counter(source.name for source in sources).items():
        if count > 1:
            both = " and ".join(source.description for source in sources if source.name == name)
            raise InputError(f"expected sources of different names, but {both} are all {name!r}; use NAME=SOURCE")
