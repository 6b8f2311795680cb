"""A job over time: where its time went, how its records and cost came in, and what would make it faster."""
