"""Barriers that nothing shows the lack of, and why each is none the less right, or stands there.

By the file and the line of text, which must be the only one like it.
"""

EQUIVALENT: dict[tuple[str, str], str] = {}
