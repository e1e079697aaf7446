"""Model files: from a folder or a Hub id to local folders with a model's config and its weights as safetensors.

Weights come from, in this order: the safetensors of the folder or revision; those that the Hub's conversion program
offers in a pull request; a pickled checkpoint, converted once (`checkpoints`). Whatever was used once is used again
without a network. A commit whose files are all in the cache is used without asking the Hub.
"""

import dataclasses
import logging
from collections.abc import Callable, Collection
from pathlib import Path

from ser_embed.encoders.hub.cache import COMMIT, Record
from ser_embed.encoders.hub.checkpoints import (
    PICKLED,
    PICKLED_INDEX,
    SAFETENSORS,
    SAFETENSORS_INDEX,
    as_safetensors,
    shard_names,
)
from ser_embed.encoders.hub.repository import NoAnswerError, Repository, Revision
from ser_embed.errors import InputError

logger = logging.getLogger(__name__)

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
_DEFAULT_REVISION = "main"


@dataclasses.dataclass(frozen=True)
class ModelFiles:
    """Files of a model on this machine.

    Attributes:
        folder: holds config.json and, if the model has it, preprocessor_config.json.
        revision: the Hub commit, or "" for a local folder.
        find_weights: returns the folder that holds the weights as safetensors. It downloads or converts them if need
            be, and raises an InputError if there are none, or they cannot be had.
    """

    folder: Path
    revision: str
    find_weights: Callable[[], Path]


def find_model(source: str, revision: str | None = None) -> ModelFiles:
    """Find the files of a model; its config is here when this returns, its weights are not yet looked for.

    Args:
        source: a local folder or a Hub id.
        revision: branch, tag or commit on the Hub; None for "main".

    Raises:
        InputError: there is no such model or revision, or it cannot be had.
    """
    folder = Path(source)
    if folder.is_dir():
        if revision:
            raise InputError(f"revision {revision!r} is for a model of the Hub, and {source} is a local folder")
        return ModelFiles(folder, "", lambda: _weights_of_folder(folder))
    return _HubModel(source, revision or _DEFAULT_REVISION).files()


def _weights_of_folder(folder: Path) -> Path:
    weights = _weight_names(folder, {path.name for path in folder.iterdir()}, lambda name: folder / name)
    return as_safetensors([folder / name for name in _shards(weights)]) if _is_pickled(weights) else folder


def _weight_names(source: object, names: Collection[str], fetch: Callable[[str], Path]) -> tuple[str, ...]:
    """Return the names of the files that hold the weights, after that of their index if there are several.

    Args:
        source: folder or Hub id, for the message.
        names: the names of all files.
        fetch: returns the path of a file.

    Raises:
        InputError: there are no weights.
    """
    for single, index in ((SAFETENSORS, SAFETENSORS_INDEX), (PICKLED, PICKLED_INDEX)):
        if single in names:
            return (single,)
        if index in names:
            return (index, *shard_names(fetch(index)))
    raise InputError(f"no usable model in {source}: expected the weights in {SAFETENSORS} or {PICKLED}, found neither")


def _is_pickled(weights: tuple[str, ...]) -> bool:
    return weights[0] in (PICKLED, PICKLED_INDEX)


def _shards(weights: tuple[str, ...]) -> tuple[str, ...]:
    return weights[1:] if weights[0] in (SAFETENSORS_INDEX, PICKLED_INDEX) else weights


class _HubModel:
    """A revision of a model on the Hub."""

    def __init__(self, repo_id: str, asked: str) -> None:
        """Ask what the revision is, or look it up in the cache if the Hub need not or cannot be asked.

        Args:
            repo_id: name of the repository.
            asked: branch, tag or commit.
        """
        self._repository = Repository(repo_id)
        self._cache = self._repository.cache
        self._asked = asked
        self._silence: NoAnswerError | None = None  # why the Hub is not asked any more
        record = self._cache.record(asked) if COMMIT.fullmatch(asked) else None
        if record:
            self._revision = Revision(asked, frozenset(record.files))
            return
        try:
            self._revision = self._repository.describe(asked)
        except NoAnswerError as error:
            self._silence = error
            self._revision = self._cached_revision()

    def files(self) -> ModelFiles:
        """Return the model's files, with the config fetched."""
        if CONFIG not in self._revision.names:
            raise InputError(f"no usable model in {self._repository.repo_id}: it has no {CONFIG}")
        for name in self._revision.names & {CONFIG, PREPROCESSOR}:
            self._fetch(self._revision.commit, name)
        return ModelFiles(self._cache.snapshot(self._revision.commit), self._revision.commit, self._find_weights)

    def _cached_revision(self) -> Revision:
        """Return what the cache has of the revision."""
        commit = self._asked if COMMIT.fullmatch(self._asked) else self._cache.commit_of(self._asked)
        names = self._cache.names(commit) if commit else frozenset()
        if commit is None or not names:
            raise InputError(
                f"{self._repository.repo_id} is not in the local cache and the Hub cannot be reached "
                f"({self._silence}); without a network, give the folder of a saved model"
            )
        logger.info(
            "%s: the Hub is not asked (%s); commit %s is in the local cache",
            self._repository.repo_id,
            self._silence,
            commit[:12],
        )
        return Revision(commit, names)

    def _fetch(self, commit: str, name: str) -> Path:
        """Return the path of a file, downloaded if need be."""
        path = self._cache.find(commit, name)
        if path is None and self._silence is None:
            try:
                path = self._repository.fetch(commit, name)
            except NoAnswerError as error:
                self._silence = error
        if path is None:
            raise InputError(
                f"{name} of {self._repository.repo_id} is not in the local cache and the Hub cannot be reached "
                f"({self._silence}); the same command goes on once it can"
            )
        return path

    def _find_weights(self) -> Path:
        """Return a folder with the weights as safetensors; see `ModelFiles`."""
        own_commit = self._revision.commit
        record = self._cache.record(own_commit)
        commit, weights = (record.weights_commit, record.weights) if record else self._choose_weights()
        paths = [self._fetch(commit, name) for name in _shards(weights)]
        folder = self._cache.snapshot(commit)
        if _is_pickled(weights):
            digests = [digest for name in _shards(weights) if (digest := self._cache.sha256(commit, name))]
            folder = as_safetensors(paths, digests if len(digests) == len(paths) else None)
        # Only now is the commit one that can be used without a network.
        if record is None:
            config_files = sorted(self._revision.names & {CONFIG, PREPROCESSOR})
            self._cache.remember(own_commit, Record(tuple(config_files), commit, weights))
        if self._silence is None and self._asked != own_commit:
            self._cache.remember_commit(self._asked, own_commit)
        return folder

    def _choose_weights(self) -> tuple[str, tuple[str, ...]]:
        """Return the commit that has the weights to use, and their names."""
        revision = self._revision
        weights = self._names_in(revision)
        if _is_pickled(weights) and self._silence is None:
            conversion = self._repository.find_conversion(revision, weights[0])
            if conversion:
                logger.info("%s: using the safetensors of a pull request of the Hub's", self._repository.repo_id)
                return conversion.commit, self._names_in(conversion)
        return revision.commit, weights

    def _names_in(self, revision: Revision) -> tuple[str, ...]:
        return _weight_names(self._repository.repo_id, revision.names, lambda name: self._fetch(revision.commit, name))
