"""A small run, tracked in a process of its own without a network, and read back by the tool's own reader.

    python -m tests.ser_embed.tracking.small_run TRACKER

prints as JSON what the reader saw: the settings, the curves as [step, value], the figures, the names of tables and
files. Run in an empty working folder, with an empty home.
"""

import contextlib
import io
import json
import socket
import struct
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


def wandb_records(path: Path) -> list[Any]:
    """Read the records of a .wandb file: a header of 7 bytes, then a log in the format of LevelDB's."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, block = path.read_bytes(), 32_768
    records, parts, position = [], b"", 7
    while position + 7 <= len(data):
        if block - position % block < 7:  # what is left of a block is too short for a header
            position += block - position % block
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            records.append(Record.FromString(parts))
            parts = b""
    return records


def read_wandb(folder: Path) -> dict[str, Any]:
    """Read by the messages of Weights & Biases."""
    import wandb

    wandb.teardown()  # its service, which writes the end of the file as it ends
    (path,) = folder.glob("offline-run-*/run-*.wandb")
    config: dict[str, Any] = {}
    curves, summary = defaultdict(list), {}
    files = []
    for record in wandb_records(path):
        if record.HasField("run"):
            config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
            assert record.run.project == PROJECT
        elif record.HasField("history"):
            values = {
                item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item
            }
            for name, value in values.items():
                if name.startswith("fold") and not name.endswith("/epoch"):
                    curves[name].append([values[f"{name.partition('/')[0]}/epoch"], value])
        elif record.HasField("summary"):
            summary |= {
                item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.summary.update
            }
        elif record.HasField("artifact"):
            for entry in record.artifact.manifest.contents:
                if entry.local_path.startswith("/") and entry.path == "report.html":
                    files.append(Path(entry.local_path).read_text())
    tables = [name.removesuffix("/_type") for name, value in summary.items() if value == "table-file"]
    (table_path,) = path.parent.glob("files/media/table/**/*.table.json")
    return {
        "config": {name: value for name, value in config.items() if name != "_wandb"},
        "curves": curves,
        "figures": {name: value for name, value in summary.items() if name in RESULTS.figures},
        "tables": {name: table_path.read_text() for name in tables},
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
