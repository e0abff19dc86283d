"""Measures the real server on a private durable MariaDB, against hand-written SQL on the same machine."""
