# shellcheck shell=bash disable=SC2034
# What does a stream cost that carries one request and ends?
TITLE='stream per request'
SPEAKS=tcp
HEADERS=('Connection: close')
