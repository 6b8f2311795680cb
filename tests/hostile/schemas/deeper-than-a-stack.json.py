"""`not` within `not`, fifty thousand deep."""

print('{"not":' * 50_000 + "{}" + "}" * 50_000)
