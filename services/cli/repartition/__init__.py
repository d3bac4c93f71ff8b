"""`pulse repartition`: the log copied to a generation with another number of partitions."""
