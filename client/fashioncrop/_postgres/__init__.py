"""PostgreSQL for whoever keeps something in it: where a database is, and an embedded one. Internal."""
