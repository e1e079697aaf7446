"""Prediction as a command and a function: `python -m ser_head.predict`, `ser_head.predict(...)`."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_embed.cli import Command, CommandModule, CommandOutput, note
from ser_embed.errors import EXIT_DONE, EXIT_FAILED
from ser_embed.options import config_from_args, with_config_signature
from ser_head.config.inference import PredictConfig
from ser_head.inference.output_formats import WRITERS, require_output

if TYPE_CHECKING:
    from ser_head.inference.prediction_table import Predictions


@with_config_signature(PredictConfig)
def predict(
    audio: Any,
    run: str | Path | None = None,
    output: str | Path | None = None,
    rate: int | None = None,
    **config: Any,
) -> "Predictions":
    """Score audio with a trained run. To score often, load a `ser_head.Predictor` once.

    Args:
        audio: a file, a folder, an array of samples, or a list of these.
        run: the run's folder, or the name of one that ships; None takes the newest in runs/, or the one that ships
            where there is none.
        output: a file to write as well, in the format of its suffix: .csv or .json.
        rate: sampling rate of arrays in Hz.
        **config: fields of `ser_head.config.inference.PredictConfig`: window, hop, speaker, enroll, profiles, corpus,
            min_confidence, model, device.

    Returns:
        A table with a row per file or window, and the files that could not be read.

    Raises:
        InputError: no such run, no audio in a folder, an encoder that cannot be had, windows that make no sense, a
            profile of another encoder, clips to enrol of which none can be read, or an output that cannot be written.
    """
    options = PredictConfig(**config)
    if output is not None:
        require_output(Path(output))
    from ser_head.inference.clips import find_audio
    from ser_head.inference.predictor import Predictor

    if isinstance(audio, Sequence) and all(isinstance(item, (str, Path)) for item in audio):
        find_audio(Path(item) for item in ([audio] if isinstance(audio, str) else audio))  # told before the model loads
    predictions = Predictor(run, options).predict(audio, rate)
    if output is not None:
        predictions.write(Path(output))
    return predictions


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("audio", nargs="+", metavar="AUDIO", help="files, or folders to search for audio")
    parser.add_argument(
        "--run",
        metavar="DIR",
        help="run folder, or emodb for the head that ships (default: the newest in runs/, or emodb)",
    )
    parser.add_argument("--output", metavar="FILE", help=f"write every window to a file too: {', '.join(WRITERS)}")


def _run(args: argparse.Namespace) -> CommandOutput:
    config = config_from_args(args, PredictConfig)
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    output = None if args.output is None else Path(args.output)
    if output:
        require_output(output)
    predictions = predict(args.audio, args.run, **values)
    exit_code = EXIT_DONE
    try:
        if output:
            predictions.write(output)
    except OSError as error:
        note(f"error: cannot write {output} ({error.strerror or error}); the answers are on stdout")
        exit_code = EXIT_FAILED
    return CommandOutput("\n".join(predictions.lines()), predictions.to_json(), predictions.unreadable, exit_code)


COMMAND = Command(
    "ser_head.predict",
    "Score new audio with a trained run.",
    _run,
    config=PredictConfig,
    add_arguments=_add_arguments,
)
build_parser, main = COMMAND.build_parser, COMMAND.main

sys.modules[__name__].__class__ = CommandModule

if __name__ == "__main__":
    sys.exit(main())
