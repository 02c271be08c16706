"""The version of the package, where no other module has to be imported for it."""

VERSION = "0.1.0"
