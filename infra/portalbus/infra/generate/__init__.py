"""Files made from the bus's own lists: alert rules, dashboards, Kubernetes resources of Strimzi."""
