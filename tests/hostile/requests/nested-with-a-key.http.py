"""As deep as the parser goes, with a key by which to recognise it."""

DEPTH = 960
print("POST /api/v1/batch_process\nContent-Type: application/json\nIdempotency-Key: deep\n")
print('{"requests": ' + "[" * DEPTH + "]" * DEPTH + "}")
