"""The command ``dans evaluate`` as a script.

python scripts/evaluate.py RUN_DIR
"""

from dans.cli.main import run_script

if __name__ == "__main__":
    run_script("evaluate")
