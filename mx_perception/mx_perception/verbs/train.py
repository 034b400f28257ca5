"""`./mx train au|reconstruction DATASET --out DIR`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from mx_capture.errors import MxError
from rich.console import Console
from rich.progress import track

EPILOG = """examples:
  ./mx simulate --out data --subjects 60 --seed 1
  ./mx train au data --out weights/au --folds 5
  ./mx train au mine --out weights/mine --start-from weights/au     (fine-tune)
  ./mx train reconstruction data --out weights/reconstruction
"""


def main(argv: list[str]) -> int:
    """Train on a data set; the checkpoint, its metrics and what resumes it go to --out."""
    try:
        import torch
    except ImportError as error:
        raise MxError("training needs torch; ./mx train sets it up when run as ./mx") from error
    from mx_perception import train_au, train_reconstruction
    from mx_perception.progress import TENSORS

    parser = argparse.ArgumentParser(
        prog="./mx train",
        description="Train the networks on recorded or simulated sessions.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tasks = parser.add_subparsers(dest="task", required=True, metavar="{au,reconstruction}")
    for task, module in (("au", train_au), ("reconstruction", train_reconstruction)):
        options = tasks.add_parser(task, help=module.__doc__, description=module.__doc__)
        _add_common(options)
        module.add_arguments(options)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    console = Console()
    out: Path = arguments.out
    if not arguments.resume:
        for name, what in (("model.json", "a checkpoint"), (TENSORS, "an interrupted training")):
            if (out / name).exists() or any(out.glob(f"fold_*/{name}")):
                raise MxError(f"{out} holds {what}; give another --out, or --resume to go on")

    def report(line: str, figures: dict[str, float]) -> None:
        console.print(line, " ".join(f"{k} {v:.4g}" for k, v in figures.items()))

    module = train_au if arguments.task == "au" else train_reconstruction
    result = module.run(arguments, report, track)
    out.mkdir(parents=True, exist_ok=True)
    _write(out / "report.json", {"task": arguments.task, **result})
    console.print(f"wrote {out}")
    return 0


def _add_common(options: argparse.ArgumentParser) -> None:
    options.add_argument("dataset", type=Path, help="folder of sessions")
    options.add_argument("--out", type=Path, required=True, help="folder for the weights")
    options.add_argument(
        "--folds",
        default="",
        help="loso, a number of groups of subjects, or none (au): the data set is the test alone, "
        "and --people are trained on; default: one fifth is left out once",
    )
    options.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    options.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    options.add_argument(
        "--cache", type=Path, help="folder for what the pipeline made (default: OUT/cache)"
    )
    options.add_argument(
        "--start-from", type=Path, help="checkpoint to fine-tune, with its network"
    )


def _write(path: Path, content: dict[str, Any]) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    part.replace(path)
