"""Process audio signals: files, resampling, short-time spectra, cutoff and bandwidth."""
