"""Identity swaps in text: sentences that differ in nothing but who they speak of."""
