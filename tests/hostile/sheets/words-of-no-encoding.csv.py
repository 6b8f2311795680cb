"""Words that might be of many encodings."""

import random
import sys

chosen = random.Random(1)
letters = [*range(0xC0, 0x100), *b"     "]
sys.stdout.buffer.write(b"review,prompt,question\n" + bytes(chosen.choices(letters, k=95_000)))
