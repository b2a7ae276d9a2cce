"""What the end-to-end tests share: processes, Kafka, stock VictoriaMetrics, Varve, comparison of answers."""
