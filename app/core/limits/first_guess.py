"""What a call is taken to need until its job has answers of its own.

Claude makes a token of 2.7 to 3.5 bytes of English; an overcharge is refunded with the first answers, an
undercharge would be debt.
"""

BYTES_PER_TOKEN = 2.5
OUTPUT_SHARE = 0.25  # of max_tokens
