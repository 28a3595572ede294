"""The command ``dans plot-calibration`` as a script.

python scripts/plot_calibration.py RUN_DIR --out FILE.png
"""

from dans.cli.main import run_script

if __name__ == "__main__":
    run_script("plot-calibration")
