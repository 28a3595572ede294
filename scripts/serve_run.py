"""The command ``dans serve`` as a script.

python scripts/serve_run.py RUN_DIR [--port N]
"""

from dans.cli.main import run_script

if __name__ == "__main__":
    run_script("serve")
