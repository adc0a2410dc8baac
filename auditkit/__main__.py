"""`python -m auditkit` is the same as `auditkit`."""

from auditkit.cli import main

if __name__ == "__main__":
    main()
