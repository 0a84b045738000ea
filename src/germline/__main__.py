"""`python -m germline`, the same as `germline`."""

import sys

from germline.cli import main

if __name__ == "__main__":
    sys.exit(main())
