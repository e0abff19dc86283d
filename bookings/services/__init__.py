"""The operations on tickets. Each public service is one transaction of its own."""
