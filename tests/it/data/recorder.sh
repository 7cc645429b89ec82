#!/bin/sh
# Prints its arguments, one on each line in angle brackets, and its input.
printf '<%s>\n' "$@"
cat
