"""Segments: parts of lists, each described by an expression such as "city is 'Tokyo' and joined before 2024-01-01".

    words         an expression cut into words, and the mistake that marks one
    expressions   what an expression asks, as a frozen value
    meaning       that as a condition for SQL, with every value bound
    naming        segments by their names in config.toml; which one an issue goes to

Nobody's SQL gets into the database: an expression is read, and what it asks is built from our own columns.
"""

from newsletter.segments.expressions import Expression, parse
from newsletter.segments.meaning import condition, rests_on_measuring
from newsletter.segments.naming import ALL, Wrong, check_all, expression_of, name_of, within

__all__ = [
    "ALL",
    "Expression",
    "Wrong",
    "check_all",
    "condition",
    "expression_of",
    "name_of",
    "parse",
    "rests_on_measuring",
    "within",
]
