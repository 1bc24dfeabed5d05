"""PURE. What DECIMAL(38,18) can hold without rounding: the form of all money in SQL."""

from decimal import Decimal

MONEY_DIGITS = 38
MONEY_PLACES = 18


def fits_money(value: Decimal) -> bool:
    """Whether the value can be stored without rounding."""
    if not value.is_finite():
        return False
    digits, exponent = value.as_tuple().digits, value.as_tuple().exponent
    if not value or not isinstance(exponent, int):
        return not value
    zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return exponent + zeros >= -MONEY_PLACES and value.adjusted() < MONEY_DIGITS - MONEY_PLACES
