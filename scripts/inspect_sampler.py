"""The command ``dans inspect`` as a script.

python scripts/inspect_sampler.py RUN_DIR
"""

from dans.cli.main import run_script

if __name__ == "__main__":
    run_script("inspect")
