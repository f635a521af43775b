"""From a stranger's bytes to what they say they are, without torch and before any library reads them.

A format a file: what is refused here is refused in a sentence, in at most a second and a half, whatever the file holds.
"""
