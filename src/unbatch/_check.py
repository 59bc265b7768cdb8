"""The two ways in which unbatch talks about input: it refuses it, or it accepts it and says what it noticed."""


class InputError(ValueError):
    """Input that cannot be used: the message names the fault, its place and extent, and what to do about it.

    The command line prints the message alone and exits with code 2.
    """


class InputWarning(UserWarning):
    """Input that is used although something about it is likely to surprise."""
