"""`pulse demo`: a real instance, a sample of answers, and a recount that does not believe the instance."""
