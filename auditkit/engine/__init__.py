"""The pass over the data, the row engine, the meter. Importing this package does not import torch."""
