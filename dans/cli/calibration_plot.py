"""Plot how reliable the probabilities of runs are.

The probabilities are those that runs predict for labelled test lines. The picture has a row for
each run: the reliability diagram, before and after Platt and isotonic scaling fitted on validation;
and the density of its probabilities without scaling, for all lines, true lines and false lines. The
numbers are written beside the picture, as JSON. For data sets whose lines are labelled true and
false, as wn11 and fb13. Needs the extra: pip install 'dans-kg[plots]'.

  dans plot-calibration runs/baselines/wn11-distmult/seed0 --out wn11.png
"""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from dans.cli import parsing as cli


def add_options(parser: ArgumentParser) -> None:
    """Add the runs and the picture."""
    cli.add_run(parser, name="runs", nargs="+", metavar="RUN")
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="FILE.png", help="the picture to write")
    cli.add_model_option(parser)
    add("--bins", type=cli.whole(1), default=10, help="bins of a reliability diagram (default: 10)")


def run(args: Namespace) -> None:
    """Predict probabilities, and draw."""
    cli.check_packages("matplotlib")
    from dans.analysis.plots import calibration_picture
    from dans.config.writing import check_file, write_atomically
    from dans.errors import InputError
    from dans.evaluation.reliability import Calibrated
    from dans.report.gather import check_folders
    from dans.runs.evaluate_run import labelled_probabilities

    if args.out.suffix != ".png":
        raise InputError(f"--out: expected a name that ends in .png, got {args.out}")
    beside = args.out.with_suffix(".json")
    for file in (args.out, beside):
        check_file("--out", file)
    check_folders(args.runs)
    predicted = {str(run): labelled_probabilities(run, which=args.model) for run in args.runs}
    found = {name: Calibrated.of(*pair, args.bins) for name, pair in predicted.items()}
    content = {name: one.to_json() for name, one in found.items()}
    write_atomically(beside, json.dumps(content, indent=1).encode())
    print(f"{calibration_picture(args.out, found)}\n{beside}")
