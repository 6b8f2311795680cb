"""Elements nested a hundred thousand deep."""

print("<html>" + "<div>" * 100_000 + "deep")
