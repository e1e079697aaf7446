"""A small run, tracked in a process of its own without a network, and read back by the tool's own reader.

    python -m tests.ser_embed.tracking.small_run TRACKER

prints as JSON what the reader sees: the settings, the curves as [step, value], the figures, the text of tables and
files. Run in an empty working folder, with an empty home.
"""

import contextlib
import io
import json
import socket
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from ser_embed.tracking.base import PROJECT, CurvePoint, TrackedResults, TrackedRun, TrackedTable
from ser_embed.tracking.group import FOLDER, tracked

RUN = TrackedRun("small", "train", {"epochs": 2, "head": "mlp", "personalized": [], "out": None})
POINTS = [
    CurvePoint("fold_1", "epoch", 1, {"loss": 1.5, "val_loss": 1.25}),
    CurvePoint("fold_1", "epoch", 2, {"loss": 0.5, "val_loss": float("nan")}),
    CurvePoint("fold_2", "epoch", 1, {"loss": 2.0, "val_accuracy mfcc=100": 0.75}),
]
REPORT = Path("report.html")
RESULTS = TrackedResults(
    {"test/uar": 0.625, "test/ece": float("inf")},
    {"test/confusion": TrackedTable(["label", "predicted angry"], [["angry", 3], ["sad|low", None]])},
    [REPORT],
)
CURVES = {
    "fold_1/loss": [[1, 1.5], [2, 0.5]],
    "fold_1/val_loss": [[1, 1.25]],
    "fold_2/loss": [[1, 2.0]],
    "fold_2/val_accuracy mfcc=100": [[1, 0.75]],
}


def restrict() -> None:
    """Make it an error to connect to another machine, or to load a framework."""
    sys.modules |= dict.fromkeys(("tensorflow", "torch"))  # type: ignore[arg-type]
    connect = socket.socket.connect

    def connect_locally(self: socket.socket, address: Any) -> None:
        if self.family != getattr(socket, "AF_UNIX", None) and address[0] not in ("127.0.0.1", "localhost", "::1"):
            raise RuntimeError(f"connects to {address}")
        connect(self, address)

    socket.socket.connect = connect_locally  # type: ignore[method-assign, assignment]


def read_tensorboard(folder: Path) -> dict[str, Any]:
    """Read by TensorBoard's accumulator of events."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    scalars: dict[str, list] = {}
    for path in sorted((folder / RUN.name).rglob("events.out.tfevents.*")):
        accumulator = EventAccumulator(str(path)).Reload()
        series = path.parent.relative_to(folder / RUN.name).as_posix().removeprefix(".")
        for tag in accumulator.Tags()["scalars"]:
            values = [[event.step, event.value] for event in accumulator.Scalars(tag)]
            scalars[f"{series}/{tag}".strip("/")] = values
        if not series:
            texts = {
                tag: accumulator.Tensors(tag)[0].tensor_proto.string_val[0] for tag in accumulator.Tags()["tensors"]
            }
    config = dict(line.strip("| ").split(" | ") for line in texts.pop("config").decode().splitlines()[2:])
    tables = {tag: text.decode() for tag, text in texts.items()}
    return {
        "config": config,
        "curves": {tag: values for tag, values in scalars.items() if "fold" in tag},
        "figures": {tag: values[0][1] for tag, values in scalars.items() if "fold" not in tag},
        "tables": tables,
        "files": [path.read_text() for path in (folder / RUN.name).glob("*.html")],
    }


def wandb_records(path: Path) -> list[dict[str, Any]]:
    """Read the records of a .wandb file as `wandb leet inspect --json` does."""
    import wandb
    from wandb.util import get_core_path

    wandb.teardown()  # its service, which writes the end of the file as it ends
    command = [get_core_path(), "leet", "inspect", "--no-observability", "--json", "--run-file", path.absolute()]
    lines = subprocess.run([*command, path.parents[1]], capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in lines.splitlines()]


def read_wandb(folder: Path) -> dict[str, Any]:
    """Read by the inspector of Weights & Biases."""
    (path,) = folder.glob("offline-run-*/run-*.wandb")
    config: dict[str, Any] = {}
    curves, summary, files = defaultdict(list), {}, []
    for record in wandb_records(path):
        values = record[record["type"]]
        if record["type"] == "run":
            config = values["config"]["update"]
            assert values["project"] == PROJECT
        elif record["type"] == "summary":
            summary |= values["update"]
        elif record["type"] == "history":
            row = values["item"]
            for name in row.keys() - {"fold_1/epoch", "fold_2/epoch"}:
                if name.startswith("fold"):
                    curves[name].append([row[f"{name.partition('/')[0]}/epoch"], row[name]])
        elif record["type"] == "artifact":
            contents = values["manifest"]["contents"]
            files += [
                Path(entry["local_path"]).read_text("utf-8") for entry in contents if entry["path"] == REPORT.name
            ]
    (table,) = path.parent.glob("files/media/table/**/*.table.json")
    tables = [name.removesuffix("._type") for name, value in summary.items() if value == "table-file"]
    return {
        "config": {name: value for name, value in config.items() if name != "_wandb"},
        "curves": curves,
        "figures": {name: value for name, value in summary.items() if name in RESULTS.figures},
        "tables": {name: table.read_text("utf-8") for name in tables},
        "files": files,
    }


def read_trackio(folder: Path) -> dict[str, Any]:
    """Read by Trackio's API and its database."""
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    (run,) = trackio.Api().runs(PROJECT)
    curves, figures, tables = defaultdict(list), {}, {}
    for row in SQLiteStorage.get_logs(PROJECT, run.name, run_id=run.id):
        for name, value in row.items():
            if name.startswith("fold"):
                curves[name].append([row["step"], value])
            elif isinstance(value, dict):
                tables[name] = json.dumps(value)
            elif name.startswith("test"):
                figures[name] = value
    config = {name: value for name, value in run.config.items() if not name.startswith("_")}
    files = [path.read_text() for path in (folder / "artifacts").rglob("blobs/**/*") if path.is_file()]
    return {"config": config, "curves": curves, "figures": figures, "tables": tables, "files": files}


def read_mlflow(folder: Path) -> dict[str, Any]:
    """Read by MLflow's client."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(PROJECT)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    names = list(run.data.metrics)
    curves = {
        name: [[metric.step, metric.value] for metric in client.get_metric_history(run.info.run_id, name)]
        for name in names
        if name.startswith("fold")
    }
    tables = {
        item.path.removesuffix(".json"): Path(client.download_artifacts(run.info.run_id, item.path)).read_text()
        for item in client.list_artifacts(run.info.run_id, "test")
    }
    return {
        "config": run.data.params,
        "curves": curves,
        "figures": {name: run.data.metrics[name] for name in names if name.startswith("test")},
        "tables": tables,
        "files": [Path(client.download_artifacts(run.info.run_id, REPORT.name)).read_text()],
    }


READERS = {"wandb": read_wandb, "trackio": read_trackio, "tensorboard": read_tensorboard, "mlflow": read_mlflow}


def main(name: str) -> None:
    """Track the run, and print what the reader sees."""
    restrict()
    REPORT.write_text("<html>the report</html>", "utf-8")
    with contextlib.redirect_stdout(io.StringIO()) as printed, tracked([name], RUN) as trackers:
        for point in POINTS:
            trackers.log_point(point)
        trackers.log_results(RESULTS)
    print(json.dumps({"printed": printed.getvalue(), **READERS[name](FOLDER / name)}))


if __name__ == "__main__":
    main(sys.argv[1])
