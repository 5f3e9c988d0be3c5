"""One module a family of result Types: each reads the Data of its Types into the summary being built."""
