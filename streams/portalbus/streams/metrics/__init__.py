"""What the processes of the bus measure: one list, and how each process serves its part of it to Prometheus."""
