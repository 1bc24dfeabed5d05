"""PURE. Exact arithmetic for money: sums and products of DECIMAL(38,18) values never lose a digit."""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Context, Decimal

# wide enough for the product of two 38-digit numbers
EXACT = Context(prec=100, rounding=ROUND_HALF_EVEN)
SMALLEST = Decimal("1E-18")
ZERO = Decimal(0)
BPS = Decimal(10_000)


def plus(one: Decimal, other: Decimal) -> Decimal:
    """Exact sum. (The operators of Decimal, `abs` and the unary minus too, round to 28 digits.)"""
    return EXACT.add(one, other)


def minus(one: Decimal, other: Decimal) -> Decimal:
    """Exact difference."""
    return EXACT.subtract(one, other)


def times(one: Decimal, other: Decimal) -> Decimal:
    """Exact product."""
    return EXACT.multiply(one, other)


def storable(value: Decimal) -> Decimal:
    """Rounded to the 18 places that SQL keeps."""
    return value.quantize(SMALLEST, context=EXACT)


def storable_at_most(value: Decimal) -> Decimal:
    """Rounded towards zero to the 18 places that SQL keeps."""
    return value.quantize(SMALLEST, rounding=ROUND_DOWN, context=EXACT)


def fee(price: Decimal, amount: Decimal, bps: Decimal) -> Decimal:
    """`bps` ten-thousandths of the value, rounded up to what SQL keeps: a venue never rounds in our favour."""
    exact = EXACT.divide(times(times(price, amount), bps), BPS)
    return exact.quantize(SMALLEST, rounding=ROUND_UP, context=EXACT)


def plain(value: Decimal) -> str:
    """Decimal text without exponent and trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
