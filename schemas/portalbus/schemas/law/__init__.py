"""The law's clock: regimes and the working calendar as dated data, and the deadlines that follow. Pure."""
