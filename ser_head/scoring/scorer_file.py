"""File of a scorer: its arrays, fold.npz, and the rest, the fold's entry in run.json; writing, reading and checking.

Nothing of it is used before its type, its shape and its range have been checked against the run's classes and layers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ser_embed.reading import are_names, expect, input_error_on_read, is_count, is_number, read_arrays
from ser_head.data.scaling import Alignment, Scaling
from ser_head.personalization.output_adaptation import OutputCalibration, PriorShift
from ser_head.personalization.personalizer import Personalizer
from ser_head.personalization.speakers import TrainingSpeakers
from ser_head.scoring.calibrators import CALIBRATORS, DEFAULT_CALIBRATOR
from ser_head.scoring.ood import KnnOodDetector
from ser_head.scoring.scorer import Predict, Scorer

SCORER_FILE = "fold.npz"
# Keys of the file, as they have been since its first version.
_SPEAKER_KEYS = ("voice_means", "voice_variances", "voice_counts", "voice_numbers")
_OOD_PREFIX = "familiarity_"
OOD_EXAMPLES, _THRESHOLD = f"{_OOD_PREFIX}examples", f"{_OOD_PREFIX}threshold"


class ScorerShape(NamedTuple):
    """Sizes that the arrays of a scorer have to have.

    Attributes:
        layers: encoder layers that the head takes.
        width: numbers per layer.
        outputs: classes, or 1 for a head that answers with a number.
    """

    layers: int
    width: int
    outputs: int


def save_scorer(scorer: Scorer, path: Path) -> dict[str, Any]:
    """Write the arrays of a scorer, all but its head's, as one .npz.

    Returns:
        The rest, for the fold's entry in run.json.
    """
    speakers, calibration = scorer.personalizer.training_speakers, scorer.output_calibration
    statistics = (speakers.means, speakers.variances, speakers.counts, speakers.numbers)
    arrays: dict[str, Any] = {
        **scorer.scaling.to_arrays(),
        "prior": calibration.prior,
        **dict(zip(_SPEAKER_KEYS, statistics, strict=True)),
    }
    pretrained = scorer.personalizer.pretrained
    if pretrained:
        arrays["pretrained"] = np.stack(list(pretrained.values()))
    if scorer.ood_detector is not None:
        arrays |= {_OOD_PREFIX + name: array for name, array in scorer.ood_detector.to_arrays().items()}
    np.savez(path, **arrays)
    return {
        "known": list(speakers.names),
        "pretrained": list(pretrained),
        "corpora": scorer.scaling.measured(),
        "temperature": scorer.temperature,
        "calibration": [calibration.calibrator, *calibration.parameters],
        "numbers": calibration.numbers,
        "borrowing": _to_json(calibration.prior_shift),
        "table_rows": scorer.personalizer.table_rows,
    }


def load_scorer(
    path: Path, fold: dict[str, Any], shape: ScorerShape, methods: Sequence[str], predict: Predict
) -> Scorer:
    """Read back what `save_scorer` wrote.

    Args:
        path: the .npz.
        fold: the fold's entry in run.json, checked by `check_fold`.
        shape: sizes of the arrays.
        methods: names of the personalisation methods.
        predict: the head.

    Raises:
        InputError: the file is damaged, or does not belong to the entry.
    """
    with input_error_on_read(f"the run is damaged: {path} cannot be used"):
        arrays = read_arrays(path)
        training_speakers = TrainingSpeakers(tuple(fold["known"]), *(arrays[key] for key in _SPEAKER_KEYS))
        pretrained = dict(zip(fold.get("pretrained", []), arrays.get("pretrained", ()), strict=True))
        calibrator, *parameters = _calibration(fold)
        calibration = OutputCalibration(
            tuple(parameters),
            arrays["prior"],
            _prior_shift_from_json(fold["borrowing"]),
            fold["numbers"] and tuple(fold["numbers"]),
            calibrator,
        )
        ood_arrays = {
            key.removeprefix(_OOD_PREFIX): array for key, array in arrays.items() if key.startswith(_OOD_PREFIX)
        }
        _check_arrays(arrays, len(training_speakers.names), shape)
        ood_detector = KnnOodDetector.from_arrays(ood_arrays) if ood_arrays else None
        scaling = Alignment.from_arrays(arrays)
        _check_scaling(scaling, fold.get("corpora", {}), shape)
        personalizer = Personalizer(methods, training_speakers, fold["table_rows"], pretrained)
    return Scorer(predict, scaling, personalizer, calibration, ood_detector)


def check_fold(fold: Mapping[str, Any], num_layers: int, has_classes: bool) -> None:
    """Check what a fold's entry in run.json says; what it leaves out is missed when it is used.

    Args:
        fold: the entry.
        num_layers: encoder layers that the head takes.
        has_classes: whether the head answers with classes, not with a number.

    Raises:
        ValueError: naming the part that cannot be, and its value.
    """
    expect(is_count(fold["fold"]), "a number as fold", fold["fold"])
    for key in ("known", "pretrained"):
        expect(are_names(fold.get(key, [])), f"names as {key}", fold.get(key))
    for key, names in _dict_of(fold, "speakers").items():
        expect(are_names(names), f"names as speakers of {key}", names)
    for name, corpus in _dict_of(fold, "corpora").items():
        is_measured = isinstance(corpus, dict) and isinstance(corpus.get("transductive"), bool)
        expect(is_measured and is_count(corpus.get("clips")), f"clips and transductive of corpus {name}", corpus)
    for key in ("best_epoch", "table_rows"):
        expect(fold.get(key) is None or is_count(fold[key]), f"a number as {key}", fold.get(key))
    weights = fold.get("layer_weights")
    expect(weights is None or _are_numbers(weights, num_layers), f"{num_layers} numbers as layer_weights", weights)
    if "temperature" in fold or "calibration" in fold:
        _check_calibration(_calibration(fold))
    if "numbers" in fold:
        numbers = fold["numbers"]
        is_right = numbers is None if has_classes else _are_numbers(numbers, 2) and numbers[1] > 0
        expect(is_right, "no numbers" if has_classes else "mean and deviation as numbers", numbers)
    _check_borrowing(fold.get("borrowing"))


def _check_calibration(calibration: Any) -> None:
    expect(isinstance(calibration, list) and len(calibration) > 0, "a calibrator as calibration", calibration)
    name, *parameters = calibration
    expect(isinstance(name, str) and name in CALIBRATORS, f"a calibrator among {', '.join(CALIBRATORS)}", name)
    temperature_is_right = _are_numbers(parameters, len(parameters)) and CALIBRATORS[name].accepts(parameters)
    expect(temperature_is_right, f"parameters of the calibrator {name}", parameters)


def _check_borrowing(borrowing: Any) -> None:
    if borrowing is None:
        return
    is_right = (
        isinstance(borrowing, dict)
        and set(borrowing) == set(PriorShift._fields)
        and is_count(borrowing["k"])
        and all(is_number(borrowing[key]) for key in ("k", "alpha"))
        and min(borrowing["k"], borrowing["alpha"]) > 0
        and (borrowing["tau"] is None or (is_number(borrowing["tau"]) and borrowing["tau"] >= 0))
    )
    expect(is_right, "k, alpha and tau as borrowing", borrowing)


def _check_arrays(arrays: Mapping[str, np.ndarray], num_speakers: int, shape: ScorerShape) -> None:
    """Check shapes and values of all arrays but those of the scaling."""
    vector = (shape.layers, shape.width)
    of_speaker = (vector, vector, (shape.outputs,), (2,))
    shapes: dict[str, tuple[int, ...]] = {
        "prior": (shape.outputs,),
        **{name: (num_speakers, *sizes) for name, sizes in zip(_SPEAKER_KEYS, of_speaker, strict=True)},
        "pretrained": (len(arrays.get("pretrained", ())), *vector),
        OOD_EXAMPLES: (len(arrays.get(OOD_EXAMPLES, ())), shape.width),
        _THRESHOLD: (),
    }
    for name, expected in shapes.items():
        if name in arrays:
            expect(arrays[name].shape == expected, f"{name} of shape {expected}", arrays[name].shape)
            expect(bool(np.isfinite(arrays[name]).all()), f"finite numbers as {name}", "others")
    expect(bool((arrays["prior"] > 0).all()), "shares above 0 as prior", arrays["prior"])
    _, variances, counts, _ = _SPEAKER_KEYS
    for name in (variances, counts):
        expect(bool((arrays[name] >= 0).all()), f"numbers from 0 on as {name}", "others")
    expect(arrays[counts].dtype.kind in "iu", f"whole numbers as {counts}", arrays[counts].dtype)
    if _THRESHOLD in arrays:
        expect(float(arrays[_THRESHOLD]) > 0, f"a number above 0 as {_THRESHOLD}", arrays[_THRESHOLD])
        expect(len(arrays[OOD_EXAMPLES]) > 0, f"vectors as {OOD_EXAMPLES}", "none")


def _check_scaling(scaling: Alignment, measured: Mapping[str, Any], shape: ScorerShape) -> None:
    """Check mean and variance of all training clips and of each corpus."""
    expect(scaling.measured() == measured, f"scalings of the corpora {measured}", scaling.measured())
    vector = (shape.layers, shape.width)
    scalings: dict[str, Scaling] = {"all clips": scaling, **scaling.corpora}
    for name, part in scalings.items():
        for array in (part.mean, part.variance):
            expect(array.shape == vector, f"a scaling of {name} of shape {vector}", array.shape)
            expect(bool(np.isfinite(array).all()), f"a finite scaling of {name}", "another")
        expect(bool((part.variance > 0).all()), f"a variance of {name} above 0", "another")
    for name, corpus in scaling.corpora.items():
        if corpus.turn is not None:
            expect(corpus.turn.shape == (*vector, shape.width), f"a turn of {name} of vectors", corpus.turn.shape)
            expect(bool(np.isfinite(corpus.turn).all()), f"a finite turn of {name}", "another")


def _calibration(fold: Mapping[str, Any]) -> Any:
    """Return calibrator and parameters; version 0.1 had temperatures alone."""
    return fold["calibration"] if "calibration" in fold else [DEFAULT_CALIBRATOR, fold["temperature"]]


def _dict_of(fold: Mapping[str, Any], key: str) -> dict[str, Any]:
    expect(isinstance(fold.get(key, {}), dict), f"an object as {key}", fold.get(key))
    return fold.get(key, {})


def _are_numbers(values: Any, count: int) -> bool:
    return isinstance(values, list) and len(values) == count and all(map(is_number, values))


def _to_json(prior_shift: PriorShift | None) -> dict[str, float | None] | None:
    """Return JSON values; JSON has no infinity, so an infinite tau is null."""
    return prior_shift and {**prior_shift._asdict(), "tau": prior_shift.tau if np.isfinite(prior_shift.tau) else None}


def _prior_shift_from_json(values: dict[str, Any] | None) -> PriorShift | None:
    return PriorShift(**{**values, "tau": np.inf if values["tau"] is None else values["tau"]}) if values else None
