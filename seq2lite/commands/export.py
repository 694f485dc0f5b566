"""Export a finished run again, in other quantization modes, without training.

seq2lite export runs/mine --quantizations int4 mixed
seq2lite export runs/mine --quantizations int8 --output my-model.zip

The model, tokenizer, held-out text and calibration text are those of the run. Each bundle is compared
with Keras before it is written.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from seq2lite.extras import require_extra
from seq2lite.logs import without_startup_logs
from seq2lite.parser import Parser


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    require_extra("train", "seq2lite export", "tensorflow", "keras")
    from seq2lite.recipes.training.artifacts import require_exported

    require_exported(Path(options.run))
    with without_startup_logs():
        from seq2lite.export import ConversionError, ParityError
        from seq2lite.recipes.evaluation.bundles import export_run
    values = vars(options)
    run, output, modes = Path(values.pop("run")), values.pop("output"), values.pop("quantizations")
    changes = {name: value for name, value in values.items() if value is not None}
    try:
        reports = export_run(run, modes, output, **changes)
    except (ConversionError, ParityError) as error:
        sys.exit(f"error: {error}")
    if output is None and (run / "report.md").is_file():
        print(f"{run / 'report.md'} is unchanged: it describes the bundles that the training wrote")
    for mode, report in reports.items():
        parity = report.parity
        print(
            f"{report.path}: {mode}, {report.file_size / 1e6:.2f} MB, chrF {parity.file_chrf:.2f} "
            f"(Keras: {parity.keras_chrf:.2f}) on {parity.num_sentences:,} held-out sentences"
        )


def _parser():
    parser = Parser("seq2lite export", __doc__)
    add = parser.add_argument
    add("run", help="run folder of a recipe")
    add(
        "--quantizations",
        nargs="+",
        default=["float32", "int8"],
        metavar="MODE",
        help="quantization modes, one bundle each; `seq2lite list` lists them (default: float32 int8)",
    )
    add(
        "--output",
        help="folder of the bundles, or a .zip for a single mode (default: the run folder)",
    )
    add("--num-beams", type=int, help="beam size of the search (default: that of the run)")
    add("--length-penalty", type=float, help="length penalty (default: that of the run)")
    add(
        "--attention",
        action="store_true",
        default=None,
        help="return attention weights from `decode_step`, for `Runner.align`",
    )
    add(
        "--max-text-bytes",
        type=int,
        help="size of texts in the text signatures (default: enough for the texts of the run)",
    )
    add("--min-runtime", help="oldest TFLite runtime that must run the files, such as 2.9")
    add("--target", help="device target of the files, such as portable")
    add(
        "--no-measure",
        dest="measure",
        action="store_false",
        default=None,
        help="do not measure speed and memory, which takes most of the time",
    )
    return parser
