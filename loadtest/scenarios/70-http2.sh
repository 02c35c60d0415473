# shellcheck shell=bash disable=SC2034
# What does a request cost by HTTP/2 over TLS, four at a time on each connection?
TITLE='HTTP/2'
SPEAKS=http2
CONNECTIONS=16
STREAMS=4
