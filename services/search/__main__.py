"""`python -m services.search --listen unix:/path | host:port`"""

from services.search.app import build
from services.serving import main

if __name__ == "__main__":
    main("search", build)
