import sys

from backports import zstd

head = b"POST /v1/messages/batches\nContent-Type: application/json\nContent-Encoding: zstd\n\n"
members = b",".join(b'"%d": []' % number for number in range(1_000_000))
sys.stdout.buffer.write(head + zstd.compress(b"{" + members + b"}") + b"\n")
