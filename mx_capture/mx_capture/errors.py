"""The one error type that reaches a user as a single line."""


class MxError(Exception):
    """Something a user can mend: the message names the value or the file, and the remedy."""
