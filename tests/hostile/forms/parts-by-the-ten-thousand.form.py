"""Ten thousand fields."""

print("Content-Type: multipart/form-data; boundary=b\n")
for number in range(10_000):
    print(f'--b\r\nContent-Disposition: form-data; name="f{number}"\r\n\r\nx\r', end="\n")
print("--b--\r\n", end="")
