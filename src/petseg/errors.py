"""The one family of errors that a user can cause and mend."""


class PetsegError(Exception):
    """A mistake in parameters, data or environment, told in one sentence: what is wrong, where, and what to do.

    The stages print the sentence and exit with 1, without a traceback.
    """
