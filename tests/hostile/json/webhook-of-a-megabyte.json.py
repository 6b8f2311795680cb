"""An address of 900,000 characters."""

print('{"model": "simulated", "records": [{"prompt": "x"}], "webhook_url": "http://' + "a" * 900_000 + '"}')
