"""`python -m services.rerank --listen unix:/path | host:port`"""

from services.rerank.app import build
from services.serving import main

if __name__ == "__main__":
    main("rerank", build)
