"""The one error a user is meant to read."""


class InputError(ValueError):
    """Something the user gave cannot be used: a file, a line, a key, a name, an option.

    The message is one sentence that names the place and what would have been accepted. Scripts
    print it and exit with status 2; every other exception is a defect of ours and keeps its
    traceback.
    """
