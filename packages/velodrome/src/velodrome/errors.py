"""The one exception that reaches the user as a line of text."""


class UserError(Exception):
    """Something the user can put right; its text says what was wrong and what to do."""
