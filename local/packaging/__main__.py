"""``python -m local.packaging``; see ``package``."""

from local.packaging.package import main

main()
