"""A view in a portal's own database (PostgreSQL, MySQL, MariaDB), read by a user that can do nothing else."""
