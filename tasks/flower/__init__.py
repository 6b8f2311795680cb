"""What Flower shows of the tasks, and how it starts."""
