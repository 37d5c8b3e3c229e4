"""The one kind of error that a person is meant to read."""


class PipelineError(Exception):
    """A problem a person can act on.

    The message is one sentence that says what is wrong, where (file, key or
    URL), and what to do about it. Stages and command lines print it without a
    stack trace.
    """
