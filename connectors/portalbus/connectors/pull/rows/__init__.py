"""Rows of tables (views, spreadsheets, CSV files) as items: the same columns, ids and rules wherever they come from."""
