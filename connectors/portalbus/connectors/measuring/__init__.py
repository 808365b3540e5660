"""Accountability figures for the national measuring platform (EMC and its successor), by a replaceable mapping."""
