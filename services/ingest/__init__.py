"""The door that takes answers: checks them, writes them to the log, and answers 202 once the log holds them."""
