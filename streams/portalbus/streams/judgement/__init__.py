"""Judgement: pure functions from (event, history, facts) to a decision. No clock, no SQL, no Kafka in here."""
