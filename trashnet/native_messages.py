"""Keeping what native libraries print away from what the pipeline says."""

import os
import sys


def hide_native_messages() -> None:
    """Drop what native code writes to standard error, for the rest of the process.

    TensorFlow 2.21 prints a dozen lines about GPUs and processors wherever it
    is imported, and its own switch for them, TF_CPP_MIN_LOG_LEVEL, has no
    effect any more. Python's messages still arrive. To see the native ones,
    after a crash for instance, set TF_CPP_MIN_LOG_LEVEL=0.

    In a process that was started without standard error (``2>&-``), Python's
    messages are dropped as well: `print` would put them among the answers.
    """
    if sys.stderr is None:
        _send_nowhere(2)
        sys.stderr = os.fdopen(2, "w")
        return
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        return
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    _send_nowhere(2)


def _send_nowhere(stream: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream)
    # A stream that was closed may have been the first number that was free.
    if nowhere != stream:
        os.close(nowhere)
