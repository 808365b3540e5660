"""A folder that people put tables into (CSV, XLSX); each file comes back with a report of what became of it."""
