"""How names are spelt on the bus: the codes of agencies, the portals of an agency, the ids of cases.

The texts are patterns of pydantic; use the compiled ones with `fullmatch`.
"""

from __future__ import annotations

import re

AGENCY = r"^[A-Y][0-9]{2}(\.[A-Z0-9]+)*$"
PORTAL = r"^[a-z0-9][a-z0-9._-]{0,63}$"
CASE_ID = r"^[A-Y][0-9]{2}(\.[A-Z0-9]+)*-[A-Za-z0-9-]{4,64}$"

AGENCY_CODE = re.compile(AGENCY)
PORTAL_ID = re.compile(PORTAL)
CASE = re.compile(CASE_ID)
