"""`python -m trainer.base --data DIR --output DIR`."""

from trainer.base.build import main

main()
