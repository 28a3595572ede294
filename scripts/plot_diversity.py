"""The command ``dans plot-diversity`` as a script.

python scripts/plot_diversity.py RUN_DIR
"""

from dans.cli.main import run_script

if __name__ == "__main__":
    run_script("plot-diversity")
