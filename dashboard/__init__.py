"""The dashboard: shows finished evidence in the browser; computes no statistic and imports no torch."""
