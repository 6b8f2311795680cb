"""A number of ten thousand digits."""

print('{"model": "simulated", "records": [{"prompt": "x"}], "max_tokens": ' + "9" * 10_000 + "}")
