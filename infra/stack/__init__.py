"""The stack on one machine: set-up checks, the processes behind `keepsake up`, `keepsake doctor` and the demo task."""
