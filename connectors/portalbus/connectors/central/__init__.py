"""The central portal: pages in three languages and a JSON API over the ledger."""
