"""The documentation as a site that is read without a network: catalogue, rules, metrics, descriptions, how-tos."""
