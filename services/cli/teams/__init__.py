"""`pulse config` for teams: a file checked, one of its teams looked at, and the file put in force."""
