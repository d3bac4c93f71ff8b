"""`pulse doctor`: looks at everything a working instance needs, and says what to do about what is wrong."""
