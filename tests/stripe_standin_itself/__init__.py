"""The stand-in for Stripe, tested with the real library: what it promises, it keeps."""
