"""As deep as the parser goes, in cost."""

DEPTH = 960
print('{"model": "simulated", "records": [{"prompt": "x"}], "max_cost": ' + "[" * DEPTH + "]" * DEPTH + "}")
