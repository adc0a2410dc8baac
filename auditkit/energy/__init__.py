"""Energy and carbon: what training, audit and inference take, measured or estimated, and never guessed in silence."""
