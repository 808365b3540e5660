"""The head of a mapping for a measuring platform: what it calls each column."""

NAMES = """
by = ["agency"]
format = "csv"
[names]
agency = "unit_code"
indicator = "code"
label = "name"
value = "value"
unit = "unit"
from = "from"
to = "to"
as_of = "as_of"
"""
