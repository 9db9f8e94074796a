"""`python -m services.segmenter --listen unix:/path | host:port`"""

from services.segmenter.app import build
from services.serving import main

if __name__ == "__main__":
    main("segmenter", build)
