"""`python -m services.classifier --listen unix:/path | host:port`"""

from services.classifier.app import build
from services.serving import main

if __name__ == "__main__":
    main("classifier", build)
