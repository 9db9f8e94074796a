"""The web pages and the calls that they make: sessions, sign-in, accounts, static files.

Refuses to move money itself: every such call is the handler of the same call under /v1, with the
key of the session.
"""
