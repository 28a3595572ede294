"""The command ``dans reproduce`` as a script.

python scripts/reproduce.py pretrain
"""

from dans.cli.main import run_script

if __name__ == "__main__":
    run_script("reproduce")
