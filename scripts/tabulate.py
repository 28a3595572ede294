"""The command ``dans tabulate`` as a script.

python scripts/tabulate.py runs/dans
"""

from dans.cli.main import run_script

if __name__ == "__main__":
    run_script("tabulate")
