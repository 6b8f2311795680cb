"""The whole stack as child processes of one command: broker, web, workers."""
