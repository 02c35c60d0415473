# shellcheck shell=bash disable=SC2034
# What does a request cost that comes with a connection of its own?
TITLE='connection per request'
HEADERS=('Connection: close')
