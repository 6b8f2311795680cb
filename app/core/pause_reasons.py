"""How reasons of paused jobs begin that a program reads; it imports nothing, for the command line's sake."""

TRIED = "It was tried on"  # some of its records; the others wait until it is resumed
LEFT = "Its command has ended"  # its own one may go on with it
