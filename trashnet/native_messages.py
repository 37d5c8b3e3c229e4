"""Keeping what native libraries print away from what the pipeline says."""

import os
import sys


def hide_native_messages() -> None:
    """Drop what native code writes to standard error, for the rest of the process.

    TensorFlow 2.21 prints a dozen lines about GPUs and processors wherever it
    is imported, and its own switch for them, TF_CPP_MIN_LOG_LEVEL, has no
    effect any more. Python's messages still arrive. To see the native ones,
    after a crash for instance, set TF_CPP_MIN_LOG_LEVEL=0.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        return
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
