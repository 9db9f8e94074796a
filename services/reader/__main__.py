"""`python -m services.reader --listen unix:/path | host:port`"""

from services.reader.app import build
from services.serving import main

if __name__ == "__main__":
    main("reader", build)
