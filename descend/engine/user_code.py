"""What went wrong in the user's code, without the lines that are not the user's."""

import os
import traceback

import jax

from descend.calls import WrongReturnError

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def user_traceback(error: BaseException) -> str:
    """The traceback with only the lines outside this library and JAX, or all of it if nothing else is left.

    What a function returned is wrong only after it ended: then the message alone says it.
    """
    said = traceback.format_exception_only(error)
    if isinstance(error, WrongReturnError):
        return "".join(said).strip()
    frames = traceback.extract_tb(error.__traceback__)
    inside = (PACKAGE, os.path.dirname(jax.__file__) + os.sep, "<frozen")
    own = [frame for frame in frames if not frame.filename.startswith(inside)]
    return "".join(["Traceback (most recent call last):\n", *traceback.format_list(own or frames), *said]).strip()
