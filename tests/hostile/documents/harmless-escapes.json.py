"""A document whose base64 is written in escapes, and ends badly."""

content = "\\u0061" * 16_000 + "="
print(f'[{{"filename": "a", "content": "{content}"}}]')
