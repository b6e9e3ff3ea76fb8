"""`python -m fashioncrop_export`, for where the command is not on the path."""

from fashioncrop_export.cli import main

if __name__ == "__main__":
    main()
