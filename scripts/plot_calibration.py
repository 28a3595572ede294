"""Draw the reliability and the density of runs' probabilities, on labelled test lines.

A row for each run: the reliability diagram, before and after Platt and isotonic scaling fitted on
validation; and the density of its probabilities without scaling, for all lines and for true and
false ones apart. The numbers stand beside the picture, as JSON. For data sets whose lines are
labelled true and false, as wn11 and fb13. Needs the extra: pip install 'dans[plots]'.

  python scripts/plot_calibration.py runs/baselines/wn11-distmult/seed0 --out wn11.png
"""

import json
from pathlib import Path

from dans.analysis.plots import calibration_picture
from dans.cli import parsing as cli
from dans.errors import InputError
from dans.evaluation.reliability import Calibrated
from dans.runs.evaluate_run import labelled_probabilities
from dans.training.files import write_atomically


def main() -> None:
    """Parse, predict probabilities, draw."""
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUN_DIR", help="folder of a trained run; one a row")
    add("--out", type=Path, required=True, metavar="FILE.png", help="the picture to write")
    cli.add_model_option(parser)
    add("--bins", type=cli.whole(1), default=10, help="of each reliability diagram (default: 10)")
    args = parser.parse_args()
    if args.out.suffix != ".png":
        raise InputError(f"--out: expected a name that ends in .png, got {args.out}")
    if len({run.resolve() for run in args.runs}) < len(args.runs):
        raise InputError("RUN_DIR: expected each folder once, got one of them twice")
    told = {str(run): labelled_probabilities(run, which=args.model) for run in args.runs}
    found = {name: Calibrated.of(*pair, args.bins) for name, pair in told.items()}
    beside = args.out.with_suffix(".json")
    content = {name: one.to_json() for name, one in found.items()}
    write_atomically(beside, json.dumps(content, indent=1).encode())
    print(f"{calibration_picture(args.out, found)}\n{beside}")


if __name__ == "__main__":
    cli.run_main(main)
