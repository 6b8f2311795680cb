"""How reasons of paused jobs begin that a program reads; it imports nothing, for the command line's sake."""

LEFT = "Its command has ended"  # its own one may go on with it
