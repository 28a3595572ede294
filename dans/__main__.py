"""``python -m dans``: the command ``dans``."""

from dans.cli.main import main

if __name__ == "__main__":
    main()
