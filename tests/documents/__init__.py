"""The API documents: complete, valid, and true of the gateway that runs."""
