"""The command ``dans export`` as a script.

python scripts/export_vectors.py RUN_DIR --out DIR
"""

from dans.cli.main import run_script

if __name__ == "__main__":
    run_script("export")
