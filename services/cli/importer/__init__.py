"""`pulse import`: a CSV export becomes answers. Parsing (values in, values out) apart from sending."""
