"""The one kind of error that a person is meant to read, and how to tell that memory ran out."""


class PipelineError(Exception):
    """A problem a person can act on.

    The message is one sentence that says what is wrong, where (file, key or
    URL), and what to do about it. Stages and command lines print it without a
    stack trace.
    """


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether Python or TensorFlow raised this because memory ran out.

    TensorFlow's own error is told by its name: importing it takes seconds.
    """
    return isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError"
