# shellcheck shell=bash disable=SC2034
# What does a MiB cost that passes as a stream? (µs each: times 1.024, milliseconds of a GiB.)
TITLE='stream, 1 MiB'
SPEAKS=tcp
ASK=/1m
CONNECTIONS=16
