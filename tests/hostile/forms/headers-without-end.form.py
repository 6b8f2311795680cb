"""A part whose name has a megabyte."""

print("Content-Type: multipart/form-data; boundary=b\n")
print('--b\r\nContent-Disposition: form-data; name="' + "a" * 1_000_000 + '"\r\n\r\nx\r\n--b--\r\n', end="")
