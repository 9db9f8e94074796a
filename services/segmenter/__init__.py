"""The segmenter: counts tokens, lists them, and cuts a text into chunks at its own seams."""
