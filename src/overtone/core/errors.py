"""The one error that people see: a line that says what was given, what is allowed and what to do."""


class OvertoneError(Exception):
    """A fault in what the person gave, not in the code.

    The command and the stages print its message as one line and exit with 2; in the library it is
    an ordinary exception.
    """
