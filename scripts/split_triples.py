"""The command ``dans split`` as a script.

python scripts/split_triples.py DATA --out FOLDER [--inductive]
"""

from dans.cli.main import run_script

if __name__ == "__main__":
    run_script("split")
