"""Ticks under faults: real clients, the real server, a real MariaDB, and what breaks on a bad day."""
