"""The command ``dans train`` as a script.

python scripts/train_dans.py --recipe umls-distmult
"""

from dans.cli.main import run_script

if __name__ == "__main__":
    run_script("train", recipe="umls-distmult")
