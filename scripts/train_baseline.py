"""The command ``dans baseline`` as a script.

python scripts/train_baseline.py --recipe umls-distmult-sce
"""

from dans.cli.main import run_script

if __name__ == "__main__":
    run_script("baseline", recipe="umls-distmult-sce")
