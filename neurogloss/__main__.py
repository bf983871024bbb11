"""The command ``neurogloss`` as ``python -m neurogloss``."""

from harness.cli import main

if __name__ == "__main__":
    main()
