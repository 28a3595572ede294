"""The options and error messages that all commands share."""
