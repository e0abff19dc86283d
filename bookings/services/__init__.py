"""What can be done with tickets. Each public service is one transaction of its own."""
