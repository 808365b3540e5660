"""Casework: folds the accepted events of cases into clocks, deadlines, escalations and figures."""
