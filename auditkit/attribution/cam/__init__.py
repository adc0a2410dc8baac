"""Class activation maps beyond Grad-CAM: where in a picture a layer's channels speak for the score."""
