"""The command ``dans check`` as a script.

python scripts/check_triples.py RUN_DIR [TRIPLES.tsv] [--top N]
"""

from dans.cli.main import run_script

if __name__ == "__main__":
    run_script("check")
