"""Bytes that are text in no encoding."""

import random
import sys

odd = bytes(random.Random(1).choice(range(128, 256)) for _ in range(95_000))
sys.stdout.buffer.write(b"review,prompt,question\n" + odd)
