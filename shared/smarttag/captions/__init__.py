"""Speech as subtitles and as a transcript."""
