import sys

from backports import zstd

head = b"POST /v1/messages/batches\nContent-Type: application/json\nContent-Encoding: zstd\n\n"
sys.stdout.buffer.write(head + zstd.compress(b'{"requests": [' + b" " * 250_000_000) + b"\n")
