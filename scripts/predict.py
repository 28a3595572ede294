"""The command ``dans predict`` as a script.

python scripts/predict.py RUN_DIR --head NAME --relation NAME
"""

from dans.cli.main import run_script

if __name__ == "__main__":
    run_script("predict")
