"""Hold the texts that ``overtone COMMAND --help`` prints above and below the options."""

RESTORE = """\
Find the frequency at which each file ends (the cutoff), and add the missing treble above it.
Below the cutoff the output is the input. Full-band and silent files stay as they are. Title,
artist, cover and other tags are copied.

The output is IN.restored.flac beside the input, unless -o names another. Of a film (MP4, MOV,
Matroska, WebM) it is the film with this sound: FILM.restored.mp4, all else in it as it was. The
suffix decides the format: .flac, .wav, .ogg, .mp3, or of a film .mp4, .mov, .mkv, .webm. Folders
are searched; outputs that exist already are skipped. Several files are restored at
once; lines come in the order of the inputs."""

EXAMPLES = """\
examples:
  overtone restore talk.mp3                   talk.restored.flac, beside it
  overtone restore talk.mp3 -o better.wav     WAV, 24 bits
  overtone restore tapes/ -o restored/        every sound file in tapes/, sub-folders kept
  overtone restore radio.ogg --cutoff 4000    the cutoff is known to be 4 kHz
  overtone restore podcast.mp3 --parts        treble for a guest on the telephone only
  overtone restore old.mp3 --like new.flac    as bright as another recording
  overtone restore film.mkv --track 2         film.restored.mkv, its second sound track restored
  ffmpeg -i film.avi -f wav - | overtone restore - -o - > film.wav

exit code:
  0  all files were restored, or needed nothing
  1  some files failed; there is a line on standard error for each
  2  nothing was done: wrong usage, or every file failed"""

EXPORT = """\
Write a model's network as ONNX, for ONNX Runtime and others that run without PyTorch.

inputs:
  samples   (batch, time), float32 at 44.1 kHz; `overtone restore` raises quiet passages until their
            peaks are at -8 dB, mid and side separately, and lowers the output by as much
  cutoff    (batch,), float32: the frequency at which each signal ends, in Hz
output:
  restored  (batch, time); below the cutoff, use the input instead

Stereo is restored as mid and side, and the shipped model has weights of its own for the side: --side."""

EXPORT_EXAMPLES = """\
examples:
  overtone export overtone.onnx              the shipped model
  overtone export side.onnx --side           its weights for left minus right
  overtone export mine.onnx --model data/model"""

SCORE_EXAMPLES = """\
examples:
  overtone score song.wav song.restored.flac --cutoff 8000
  overtone score song.wav mine.flac theirs.wav --cutoff 8000   a column each"""

LISTEN = """\
Serve a blind listening test of the examples that the pipeline's evaluate stage wrote, as a page for
the browser. Each rating is in data/listening.sqlite at once. docs/listening.md says how to run a test."""

LISTEN_EXAMPLES = """\
examples:
  overtone listen                       the page, for this machine alone
  overtone listen --host 0.0.0.0        also for phones in the same network
  overtone listen --export test/        the page as a folder, for any web server
  overtone listen --import ratings-*    what the listeners of such a folder sent back
  overtone listen --summary             metrics/listening.json and plots/listening.png"""

APP = """\
Restore music on a page in the browser: drop files on it, listen, turn the controls, save. Files stay on
this machine. docs/restore.md shows the page."""

APP_EXAMPLES = """\
examples:
  overtone app                     the page, for this machine alone
  overtone app --host 0.0.0.0      also for phones in the same network, by an address with a token"""
