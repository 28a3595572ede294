"""The command ``dans explain`` as a script.

python scripts/explain_triple.py RUN_DIR --head NAME --relation NAME --tail NAME
"""

from dans.cli.main import run_script

if __name__ == "__main__":
    run_script("explain")
