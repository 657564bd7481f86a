"""Restore music on a page in the browser: drop files, listen, turn the controls, save.

work        the work folder, its lock, and what earlier runs left
library     the files of each browser tab and their states
uploads     request bodies, streamed to disk
queries     numbers and JSON of requests
worker      the thread that restores one file after the other
signals     raw samples on disk, read in stretches
curve       controls and reference as one impulse response
mixing      the added band through the curve of the controls, and one loudness
picture     spectrograms of the input and the added band
saving      restored files and ZIP archives
server      all of it over HTTP
page/       the page: plain HTML, CSS and JavaScript
"""
