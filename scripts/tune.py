"""The command ``dans tune`` as a script.

python scripts/tune.py --recipe umls-distmult
"""

from dans.cli.main import run_script

if __name__ == "__main__":
    run_script("tune")
