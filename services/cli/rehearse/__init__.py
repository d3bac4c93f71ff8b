"""`pulse rehearse`: what a file of teams would have meant for the answers that have come."""
