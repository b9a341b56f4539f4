"""What went wrong in the user's code, without the lines that are not the user's."""

import os
import traceback

import jax

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def user_traceback(error: BaseException) -> str:
    """The traceback with only the lines outside this library and JAX, or all of it if nothing else is left."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = (PACKAGE, os.path.dirname(jax.__file__), "<frozen")
    own = [frame for frame in frames if not frame.filename.startswith(inside)]
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(own or frames)]
    return "".join(lines + traceback.format_exception_only(error)).strip()
