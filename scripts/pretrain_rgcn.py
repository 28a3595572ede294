"""The command ``dans pretrain`` as a script.

python scripts/pretrain_rgcn.py --recipe umls-distmult
"""

from dans.cli.main import run_script

if __name__ == "__main__":
    run_script("pretrain", recipe="umls-distmult")
