"""The command ``dans compare`` as a script.

python scripts/compare.py RUN RUN
"""

from dans.cli.main import run_script

if __name__ == "__main__":
    run_script("compare")
