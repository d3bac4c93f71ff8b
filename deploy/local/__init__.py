"""The launchers behind `pulse up`: a real Kafka, the real ClickHouse engine, and a supervisor for all processes."""
