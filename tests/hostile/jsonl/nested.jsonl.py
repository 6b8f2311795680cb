"""Lines that are nested as deep as the parser goes."""

for depth in range(950, 975):
    print('{"review": ' + "[" * depth + "]" * depth + "}")
