"""The command ``dans fetch`` as a script.

python scripts/fetch_datasets.py --list
"""

from dans.cli.main import run_script

if __name__ == "__main__":
    run_script("fetch")
