# shellcheck shell=bash disable=SC2034
# What does it cost that the configuration changes ten times a second? The rivals' does not.
TITLE='10 changes a second'
ROUTES=1000
CHANGES=10
