"""The conformance kit: scenarios that a portal's sending side has to come through, whatever it is written in."""
