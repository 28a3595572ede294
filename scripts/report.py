"""The command ``dans report`` as a script.

python scripts/report.py RUN_DIR
"""

from dans.cli.main import run_script

if __name__ == "__main__":
    run_script("report")
