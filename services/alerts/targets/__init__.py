"""Where alerts go: one file a kind of target, the file that names them, and the guard every connection passes."""
