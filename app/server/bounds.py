"""How much of the server a connection may hold, and for how long. Sizes are in bytes, times in seconds."""

HEAD = 65_536  # a request line and its header fields
HEAD_SECONDS = 10.0  # from the connection, or from the end of the request before, to the end of a head

# A body of up to this size is read for anybody. A larger one is read when the application has said that its
# sender may send it.
SMALL = 65_536
# While a body comes, or an answer goes, this many bytes must have moved whenever the time is over.
BODY_BYTES, BODY_SECONDS = 10_000, 10.0
ANSWER_BYTES, ANSWER_SECONDS = 64_000, 60.0

# What chunks may cost besides their content: 64 kB, and a quarter of the content.
CHUNK_OVERHEAD = 65_536
CHUNK_SHARE = 4
CHUNK_LINE = 8_190  # a chunk's size and extensions

# Threads for requests that hold no seat (as many as `KEPT_FREE` of app/web/capacity.py), and of one caller.
REQUESTS = 32
REQUESTS_OF_ONE = 8

RECEIVED = 262_144  # received at once
IN_MEMORY = 65_536  # of a body, or of an answer that waits for its reader; the rest is in a file

# Large bodies on disk: of all callers, and half of it for one tenant. Each counts as `LEAST` or more, so that
# many small ones do not hold every connection.
BODIES = 4_000_000_000
LEAST = 4_000_000
FIRST_GRANT = (
    1_000_000  # for a body that does not say its length; doubled when it is used up, by this much at most
)
LARGEST_STEP = 64_000_000

ANSWERS = 1_000_000_000  # answers that wait for their readers, in all

# Of a proxy's connection between two requests. The proxy must be the one that closes it, or it sends one on a
# connection that has just been closed here. Balancers keep theirs for up to 600 s.
PROXY_IDLE_SECONDS = 620.0

OF_ONE_ADDRESS = 256  # connections that have brought no whole request
SPARE_FILES = 256  # descriptors that are not for connections
FILES_EACH = 3  # descriptors of a connection: the socket, a body, an answer
MOST_CONNECTIONS = 20_000

LINGER_SECONDS = 2.0  # after the last answer, so that its reader sees it and no reset
LINGER_BODY_SECONDS = 5.0  # the same, while the client is still sending a body that nobody reads
STOP_SECONDS = 2.0  # for a request that was on its way when the server was told to stop
