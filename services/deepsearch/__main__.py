"""`python -m services.deepsearch --listen unix:/path | host:port`"""

from services.deepsearch.app import build
from services.serving import main

if __name__ == "__main__":
    main("deepsearch", build)
