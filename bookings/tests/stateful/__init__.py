"""Rules that send random requests to Ticks and to the model of it (`bookings.tests.model`), and compare."""
