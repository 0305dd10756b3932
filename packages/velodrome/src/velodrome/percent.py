"""Shares as users write them."""

from velodrome.errors import UserError


def parse(text: str | float, where: str) -> float:
    """`2%` or 0.02 as 0.02.

    Args:
        text: what the user wrote.
        where: names the option in messages.

    Raises:
        UserError: it is neither.
    """
    written = str(text).strip()
    try:
        if written.endswith("%"):
            return float(written[:-1]) / 100
        return float(written)
    except ValueError:
        raise UserError(f"{where}: {written} is no share; write 2% or 0.02") from None
