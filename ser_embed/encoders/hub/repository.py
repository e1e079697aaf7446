"""Repositories of the Hub: what a revision holds, the files themselves, and what goes wrong, in one line each.

A request waits for `$HF_HUB_ETAG_TIMEOUT` seconds (10 by default) and is not repeated, so that a Hub that does not
answer is noticed soon. `$HF_ENDPOINT`, `$HF_TOKEN` and `$HF_HUB_OFFLINE` are those of `huggingface_hub`.
"""

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ser_embed.encoders.hub.cache import COMMIT, RepositoryCache
from ser_embed.encoders.hub.checkpoints import SAFETENSORS, SAFETENSORS_INDEX
from ser_embed.encoders.hub.download import RemoteFile, download
from ser_embed.errors import InputError

logger = logging.getLogger(__name__)

# The Hub's own program, which opens a pull request with the safetensors of a pickled checkpoint. Anybody may open a
# pull request, with weights of any kind and under any title; the name of its author is what cannot be chosen freely.
CONVERSION_BOT = "SFconvertbot"


class NoAnswerError(Exception):
    """The Hub cannot be reached, or does not answer as the Hub would."""


@dataclasses.dataclass(frozen=True)
class Revision:
    """A commit of a repository.

    Attributes:
        commit: its hash.
        names: names of its files.
    """

    commit: str
    names: frozenset[str]


class Repository:
    """A model's repository on the Hub, with the files of it that are in the cache."""

    def __init__(self, repo_id: str) -> None:
        """Take the name of a repository; nothing is asked yet."""
        from huggingface_hub import constants

        self.repo_id = repo_id
        self._current_id = repo_id  # another one if the repository was renamed; the old one leads to it
        self.cache = RepositoryCache(repo_id)
        self._endpoint = constants.ENDPOINT
        self._timeout_s = constants.HF_HUB_ETAG_TIMEOUT

    def describe(self, revision: str) -> Revision:
        """Ask what a branch, tag or commit holds.

        Raises:
            InputError: there is no such repository or revision, or no access to it.
            NoAnswerError: the Hub cannot be reached.
        """
        from huggingface_hub import HfApi

        with self._one_line(revision):
            info = HfApi(endpoint=self._endpoint).model_info(self.repo_id, revision=revision, timeout=self._timeout_s)
            names = frozenset(file.rfilename for file in info.siblings or [])
            if not COMMIT.fullmatch(info.sha or ""):
                raise NoAnswerError(f"expected a commit of {self.repo_id}, found {info.sha!r}")
        if info.id != self._current_id:
            logger.info("%s is %s on the Hub now", self.repo_id, info.id)
            self._current_id = info.id
        return Revision(str(info.sha), names)

    def fetch(self, commit: str, name: str) -> Path:
        """Return the path of a file of a commit, downloaded if it is not in the cache.

        Raises:
            InputError: there is no such file, no access to it, or it does not arrive whole.
            NoAnswerError: the Hub cannot be reached.
        """
        if path := self.cache.find(commit, name):
            return path
        with self._one_line(commit):
            metadata = self._metadata(commit, name)
            etag = metadata.etag or f"{commit}-{name}"
            with self.cache.new_blob(etag) as (blob, partial):
                if not blob.exists():
                    file = RemoteFile(self._url(commit, name), f"{self.repo_id}/{name}", etag, metadata.size)
                    download(file, blob, partial)
                return self.cache.link(commit, name, blob)

    def find_conversion(self, revision: Revision, pickled: str) -> Revision | None:
        """Look for a pull request of the Hub's conversion program that has the weights of a revision as safetensors.

        A pull request is taken only if that program has opened it, the repository's owner has not closed it, and it was
        made of the checkpoint that the revision has, and not of an earlier one.

        Args:
            revision: the revision, which has a pickled checkpoint.
            pickled: name of the checkpoint, or of its index.

        Returns:
            The pull request's commit; None if there is none, or the Hub does not tell: the checkpoint will do as well.
        """
        try:
            with self._one_line("main"):
                numbers = self._pull_requests()
            for number in numbers:
                conversion = self.describe(f"refs/pr/{number}")
                if not conversion.names & {SAFETENSORS, SAFETENSORS_INDEX} or pickled not in conversion.names:
                    continue
                with self._one_line(conversion.commit):
                    etags = {self._metadata(commit, pickled).etag for commit in (revision.commit, conversion.commit)}
                if len(etags) == 1:
                    return conversion
        except (InputError, NoAnswerError) as error:
            logger.info("%s: pull requests were not looked through: %s", self.repo_id, error)
        return None

    def _pull_requests(self) -> list[int]:
        """Return the numbers of the conversion program's open pull requests, newest first.

        `HfApi.get_repo_discussions` would wait forever for a Hub that does not answer.
        """
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        response = get_session().get(
            f"{self._endpoint}/api/models/{self.repo_id}/discussions",
            params={"type": "pull_request", "status": "open", "author": CONVERSION_BOT},
            headers=build_hf_headers(library_name="twostage-ser"),
            timeout=self._timeout_s,
            follow_redirects=True,
        )
        hf_raise_for_status(response)
        return sorted(
            (
                int(item["num"])
                for item in response.json()["discussions"]
                if item["isPullRequest"]
                and item["status"] == "open"
                and (item.get("author") or {}).get("name") == CONVERSION_BOT
            ),
            reverse=True,
        )

    def _metadata(self, commit: str, name: str) -> Any:
        """Ask for the ETag and the size of a file."""
        from huggingface_hub import get_hf_file_metadata

        return get_hf_file_metadata(self._url(commit, name), timeout=self._timeout_s, endpoint=self._endpoint)

    def _url(self, commit: str, name: str) -> str:
        return f"{self._endpoint}/{self.repo_id}/resolve/{commit}/{quote(name)}"

    @contextlib.contextmanager
    def _one_line(self, revision: str) -> Iterator[None]:
        """Convert the errors of `huggingface_hub` and of its HTTP library."""
        from huggingface_hub import errors

        page = f"{self._endpoint}/{self.repo_id}"
        try:
            yield
        except (InputError, NoAnswerError):
            raise
        except errors.HFValidationError as error:
            raise InputError(f"{self.repo_id} cannot be the name of a model on the Hub: {error}") from error
        except errors.GatedRepoError as error:
            raise InputError(
                f"{self.repo_id} is gated: accept its terms at {page} and log in by `hf auth login`"
            ) from error
        except errors.RepositoryNotFoundError as error:
            raise InputError(
                f"there is no {self.repo_id} on the Hub, or it is private and needs `hf auth login`"
            ) from error
        except errors.RevisionNotFoundError as error:
            raise InputError(f"there is no revision {revision!r} of {self.repo_id}; see {page}/commits/main") from error
        except errors.HfHubHTTPError as error:
            status = error.response.status_code
            if status == 429 or status >= 500:  # too many requests, or trouble at the Hub
                raise NoAnswerError(f"{self._endpoint} answers {status}") from error
            hint = "; is the token valid? `hf auth login` sets another" if status == 401 else ""
            raise InputError(
                f"the Hub refuses {self.repo_id} at {revision!r}: {status} {error.response.reason_phrase}{hint}"
            ) from error
        except errors.OfflineModeIsEnabled as error:
            raise NoAnswerError("HF_HUB_OFFLINE is set") from error
        except Exception as error:  # those of the HTTP library share no public base class; each of them means no answer
            if isinstance(error, OSError) and error.errno is not None:  # the HTTP library has other errors
                raise InputError(f"cannot write to {error.filename or 'the cache'}: {error.strerror}") from error
            raise NoAnswerError(f"{self._endpoint}: {type(error).__name__}") from error
