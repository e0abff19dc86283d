"""Runs Ticks under faults: real clients, the real server, a real MariaDB, and everything that can break."""
