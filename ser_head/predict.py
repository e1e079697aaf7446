"""Emotions of new audio as a command and a function: `python -m ser_head.predict`, `ser_head.predict(...)`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_embed.cli import CommandModule, CommandParser, note, print_json, run_command
from ser_embed.errors import EXIT_DONE, EXIT_SOME_UNREADABLE, InputError

if TYPE_CHECKING:
    from ser_head.inference.prediction_table import Predictions

OUTPUTS = (".csv", ".json")
_MIN_CONFIDENCE = (
    "answer 'uncertain' below this probability, 0 to 1; so is audio unlike anything in training answered, however "
    "probable an emotion seems, unless X is 0. Probabilities are given in any case (default: none asked for)"
)


def predict(
    audio: str | Path | Sequence[str | Path],
    run: str | Path | None = None,
    window: float | None = None,
    hop: float | None = None,
    output: str | Path | None = None,
    **hearing: Any,
) -> "Predictions":
    """Score audio with a trained run.

    Args:
        audio: a file, a folder, or several.
        run: the run's folder; None takes the newest in runs/.
        window: seconds of a window, for a timeline; None scores each file whole.
        hop: seconds from one window to the next; half a window if None.
        output: a .csv or .json file to write as well.
        **hearing: `speaker`, `enroll`, `profiles`, `corpus`, `min_confidence`, `device` and `model`; see
            `ser_head.inference.audio.PredictConfig`.

    Returns:
        A table with a row per file or window, and the files that could not be read.

    Raises:
        InputError: no such run, no audio in a folder, an encoder that cannot be had, windows that make no sense, a
            profile of another encoder, clips to enrol of which none can be read, or an output that cannot be written.
    """
    if output is not None and Path(output).suffix.lower() not in OUTPUTS:
        raise InputError(f"--output has to end in {' or '.join(OUTPUTS)}, not {str(output)!r}")
    from ser_embed.files import require_writable_file
    from ser_head.inference.audio import PredictConfig
    from ser_head.inference.predictor import run_prediction
    from ser_head.runs.run import Run, newest_run

    how = PredictConfig(window, hop, **hearing)
    if output is not None:
        require_writable_file(Path(output))
    paths = [audio] if isinstance(audio, (str, Path)) else audio
    predictions = run_prediction(Run.load(run or newest_run()), [Path(path) for path in paths], how)
    if output is not None:
        predictions.write(Path(output))
    return predictions


def build_parser() -> CommandParser:
    """Return the command's parser."""
    parser = CommandParser("python -m ser_head.predict", description="Score new audio with a trained run.")
    parser.add_argument("audio", nargs="+", metavar="AUDIO", help="files, or folders to search for audio")
    parser.add_argument("--run", metavar="DIR", help="run folder (default: the newest in runs/)")
    parser.add_argument(
        "--window",
        type=float,
        metavar="S",
        help="seconds of a window, for a timeline; best as long as the training clips (default: whole files)",
    )
    parser.add_argument("--hop", type=float, metavar="S", help="seconds between windows (default: half a window)")
    parser.add_argument(
        "--speaker",
        metavar="NAME",
        help="who speaks: a profile of ser_head.enroll, or a training speaker: crema-d/1001",
    )
    parser.add_argument(
        "--enroll", metavar="FOLDER", help="unlabelled clips of who speaks, used this once; added to the profile's"
    )
    parser.add_argument("--profiles", metavar="DIR", help="folder of profiles (default: profiles/ in the run folder)")
    parser.add_argument(
        "--corpus",
        metavar="NAME",
        help="what the audio is from, for a run trained with --normalization corpus or coral (default: none of its "
        "corpora, standardised by all training clips)",
    )
    parser.add_argument("--min-confidence", type=float, metavar="X", help=_MIN_CONFIDENCE)
    parser.add_argument("--output", metavar="FILE", help="write every window as .csv or .json too")
    parser.add_argument("--model", metavar="PATH", help="where the encoder is now (default: where it was in training)")
    parser.add_argument("--device", default="auto", help="where the encoder runs (default: auto)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a line per file")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    args = vars(build_parser().parse_args(argv))
    as_json = args.pop("json")

    def work() -> int:
        predictions = predict(**args)
        if as_json:
            print_json(predictions.to_json())
        elif lines := predictions.lines():
            print(*lines, sep="\n")
        for file in predictions.unreadable:
            note(f"unreadable: {file['file']}: {file['reason']}")
        return EXIT_SOME_UNREADABLE if predictions.unreadable else EXIT_DONE

    return run_command(work)


sys.modules[__name__].__class__ = CommandModule

if __name__ == "__main__":
    sys.exit(main())
