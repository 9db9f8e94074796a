"""`python -m services.api --listen unix:/path | host:port`"""

from services.api.app import build
from services.serving import main

if __name__ == "__main__":
    main("api", build)
