"""The sample rate that the project is built on."""

# Hz. Networks are trained and run at this rate, losses and transforms are made for it, and files are compared
# at it; other input is resampled.
MODEL_RATE = 44100
