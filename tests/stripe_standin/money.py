"""Amounts in minor units: currencies, what is least, discounts, tax, how a person reads them."""

from tests.stripe_standin.errors import Obj, invalid

# A minor unit is the whole unit.
ZERO_DECIMAL = frozenset({"clp", "djf", "gnf", "jpy", "krw", "pyg", "vnd", "xaf", "xof", "xpf"})
CURRENCIES = ZERO_DECIMAL | {
    *("usd", "eur", "gbp", "chf", "sek", "nok", "dkk", "pln", "czk", "huf", "cad", "aud", "nzd"),
    *("sgd", "hkd", "inr", "brl", "mxn", "zar", "ils", "try", "thb", "myr", "php", "idr", "twd"),
    *("aed", "sar", "ron", "bgn", "isk", "cop", "ars", "pen", "uah", "egp", "mad", "kes", "ngn"),
}
LEAST, MOST = 50, 99_999_999
# Percent of tax by the country that a buyer names; elsewhere none.
TAX_PERCENT = {"DE": 19, "FR": 20, "AT": 20, "IT": 22, "SE": 25, "GB": 20, "US": 8}
COUNTRIES = ("US", "DE", "FR", "AT", "IT", "SE", "GB", "JP", "CH")


def currency(value: str, param: str) -> str:
    """A currency that is known, in small letters."""
    if value.lower() not in CURRENCIES:
        told = f"Invalid currency: {value}. Stripe currently supports these currencies: usd, eur..."
        raise invalid(told, param)
    return value.lower()


def enough(amount: int, code: str, param: str) -> int:
    """An amount that can be charged."""
    if amount < LEAST:
        told = f"Amount must be at least {shown(LEAST, code)}"
        raise invalid(told, param, "amount_too_small")
    if amount > MOST:
        raise invalid(f"Amount must be no more than {shown(MOST, code)}", param, "amount_too_large")
    return amount


def shown(amount: int, code: str) -> str:
    """12.34 USD, 1234 JPY."""
    if code in ZERO_DECIMAL:
        return f"{amount} {code.upper()}"
    sign = "-" if amount < 0 else ""
    return f"{sign}{abs(amount) // 100}.{abs(amount) % 100:02} {code.upper()}"


def off(coupon: Obj, amount: int, code: str) -> int:
    """What a coupon takes off this amount."""
    percent = coupon["percent_off"]
    if percent is not None:
        return min(amount, round(amount * float(percent) / 100))
    return min(amount, int(coupon["amount_off"])) if coupon["currency"] == code else 0


def tax(amount: int, percent: int, *, inclusive: bool) -> int:
    """The tax on an amount, or the part of it that is tax; half a unit is rounded up."""
    base = 100 + percent if inclusive else 100
    return (amount * percent * 2 + base) // (2 * base)


def fee(amount: int) -> int:
    """What a payment costs the one who is paid."""
    return round(amount * 0.029) + 30
