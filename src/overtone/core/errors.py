"""Define the error that people see as one line, and import modules that an extra brings."""

import importlib
from types import ModuleType


class OvertoneError(Exception):
    """A fault in what a person gave, not in the code.

    Its message says what was given, what is allowed and what to do. The command and the stages print it as
    one line and exit with 2; in the library it is an ordinary exception.
    """


def need(extra: str, module: str) -> ModuleType:
    """Import a module of an optional dependency.

    Args:
        extra: the extra of overtone that installs it.
        module: its full name.

    Raises:
        OvertoneError: it cannot be imported; the message says how to install it.

    Example:
        >>> need("listen", "json").dumps([1])
        '[1]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise OvertoneError(
            f"{package} is not installed: pip install 'overtone[{extra}]' ({error})"
        ) from None
