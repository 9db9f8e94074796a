"""`python -m services.embeddings --listen unix:/path | host:port`"""

from services.embeddings.app import build
from services.serving import main

if __name__ == "__main__":
    main("embeddings", build)
